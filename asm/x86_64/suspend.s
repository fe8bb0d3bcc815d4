    // The coroutine's half of the asymmetric pair; same registers and same saved
    // frame as the symmetric switch.  It leaves by a return, which matches the call
    // in resume.s.
    push rbx
    push rbp
    lea rax, [rip + 2f]
    push rax
    mov [rdi], rsp
    mov rsp, rsi
    ret
2:
    pop rbp
    pop rbx
