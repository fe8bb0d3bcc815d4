    // The last switch of a context.  rsi = the context to enter, rdx = the value
    // handed over.  Whoever is entered saves this context (see switch.s): to the dead
    // stack itself.
    mov rdi, rsp
    jmp [rsi]
