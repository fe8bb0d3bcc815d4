    // Calls {function} with the argument in rdi, on the stack that is current, but
    // describes the caller of that call as the suspended context in r13: an unwinder
    // started inside the function walks on into the suspended stack.
    //
    // The unwinder finds r13 because the function preserves it.  The context's saved
    // frame (see switch.s) gives the rules: the canonical frame address is just
    // above it, and pc, rbp and rbx lie at 24, 16 and 8 bytes below that.
    push rbx
    push rbp
    mov r12, rsp
    and rsp, -16
    .cfi_remember_state
    .cfi_def_cfa r13, 24
    .cfi_offset rip, -24
    .cfi_offset rbp, -16
    .cfi_offset rbx, -8
    call {function}
    .cfi_restore_state
    mov rsp, r12
    pop rbp
    pop rbx
