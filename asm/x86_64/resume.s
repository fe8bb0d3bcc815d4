    // The resumer's half of the asymmetric pair; same registers and same saved
    // frame as the symmetric switch.  The pc is pushed by a call, which the return
    // in suspend.s then matches, so the processor's return predictor stays in step.
    push rbx
    push rbp
    call 3f
    pop rbp
    pop rbx
    jmp 4f
3:
    mov [rdi], rsp
    mov rsp, rsi
    pop rax
    jmp rax
4:
