    // Yields the address of the first instruction of every context, which is the
    // text between the labels 2 and 3; nothing falls into it.
    //
    // On arrival rsp is the stack that was left, and rdi says where to save that (see
    // switch.s).  rsi points at struct InitialFrame:
    //
    //     sp + 24   (top of the stack, 16-byte aligned)
    //     sp + 16   entry     the function to call
    //     sp +  8   argument  its first argument; rdx holds its second
    //     sp        pc        (this text)
    //
    // A context has no caller: the return address is undefined, which is how
    // unwinders and debuggers are told that the backtrace ends here, and the frame
    // pointer chain ends with zero.
    lea {address}, [rip + 2f]
    jmp 3f
2:
    .cfi_remember_state
    .cfi_def_cfa rsi, 24
    .cfi_undefined rip
    mov [rdi], rsp
    lea rsp, [rsi + 8]
    .cfi_def_cfa rsp, 16
    pop rdi
    .cfi_adjust_cfa_offset -8
    pop rax
    .cfi_adjust_cfa_offset -8
    mov rsi, rdx
    xor ebp, ebp
    call rax
    ud2
    .cfi_restore_state
3:
    .pushsection cove_switches, "aR", %progbits
    .long 2b - ., 3b - .
    .popsection
