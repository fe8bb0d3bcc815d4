    // Yields the address of the first instruction of every context, which is the
    // text between the labels 2 and 3; nothing falls into it.
    //
    // On arrival the stack pointer still points at struct InitialFrame:
    //
    //     sp + 32   (top of the stack, 16-byte aligned)
    //     sp + 16   pc        (this text)
    //     sp +  8   entry     the function to call
    //     sp        argument  its first argument; x2 holds its second
    //
    // A context has no caller: the return address is undefined, which is how
    // unwinders and debuggers are told that the backtrace ends here, and the frame
    // pointer chain ends with zero.
    adr {address}, 2f
    b 3f
2:
    .cfi_remember_state
    .cfi_def_cfa sp, 32
    .cfi_undefined x30
    ldp x0, x3, [sp], #32
    .cfi_def_cfa_offset 0
    mov x1, x2
    mov x29, xzr
    mov x30, xzr
    blr x3
    brk #0x1
    .cfi_restore_state
3:
    .pushsection cove_switches, "aR", %progbits
    .long 2b - ., 3b - .
    .popsection
