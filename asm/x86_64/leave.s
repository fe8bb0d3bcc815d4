    // The last switch of a context: nothing is saved.  rsi = the context to enter,
    // rdx = the value handed over.
    mov rsp, rsi
    pop rax
    jmp rax
