    // The last switch of a context.  rsi = the context to enter, rdx = the value
    // handed over.  Whoever is entered saves this context (see switch.s): to the dead
    // stack itself.
6:
    mov rdi, rsp
    jmp [rsi]
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
