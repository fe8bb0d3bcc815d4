    // Symmetric switch: any context to any other.
    //
    // in:  rdi = where to store the saved context, rsi = the context to enter,
    //      rdx = the value handed over
    // out: rdx = the value handed over by whoever comes back
    //
    // What a saved context points at (struct SavedFrame):
    //
    //     sp + 16   rbx    reserved by the compiler, so kept by hand
    //     sp +  8   rbp    likewise
    //     sp        pc     where to go on
    //
    // Every other register is declared lost by the caller of this text, so the
    // compiler spills exactly those that are live.  An indirect jump is used, not
    // a return: no call precedes it, and a return would mispredict every time.
    //
    // Whoever arrives finishes the work of whoever left: at the pc, rsp is still the
    // stack that was left, and rdi and rsi are as the leaving side set them.  So one
    // instruction, which in resume.s is a call, pushes a pc and goes to another.
6:
    push rbx
    push rbp
    lea rax, [rip + 2f]
    push rax
    jmp [rsi]
2:
    mov [rdi], rsp
    lea rsp, [rsi + 8]
    pop rbp
    pop rbx
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
