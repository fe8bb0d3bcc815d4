    // The coroutine's half of the asymmetric pair, with the saved frame of switch.s.
    //
    // in:  rdi = struct Link, rdx = the value handed over
    // out: rdx = the value handed over by the next resume
    //
    // It leaves by a return, which matches the call in resume.s, and is entered as any
    // context is (see switch.s).
6:
    push rbx
    push rbp
    lea rax, [rip + 2f]
    push rax
    mov [rdi + {coroutine}], rsp
    mov rsp, [rdi + {resumer}]
    ret
2:
    mov [rdi], rsp
    lea rsp, [rsi + 8]
    pop rbp
    pop rbx
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
