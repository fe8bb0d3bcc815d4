    // Yields the address of the first instruction of every context, which is the
    // text between the labels 2 and 3; nothing falls into it.
    //
    // On arrival the stack pointer has moved past the pc of struct InitialFrame:
    //
    //     sp + 16   (top of the stack, 16-byte aligned)
    //     sp +  8   entry     the function to call
    //     sp        argument  its first argument; rdx holds its second
    //
    // A context has no caller: the return address is undefined, which is how
    // unwinders and debuggers are told that the backtrace ends here, and the frame
    // pointer chain ends with zero.
    lea {address}, [rip + 2f]
    jmp 3f
2:
    .cfi_remember_state
    .cfi_def_cfa rsp, 16
    .cfi_undefined rip
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
