    // The resumer's half of the asymmetric pair; same registers and same saved
    // frame as the symmetric switch.  The pc is pushed by a call, which the return
    // in suspend.s then matches, so the processor's return predictor stays in step.
    // Whoever comes back here has saved its own context and is on this stack already.
6:
    push rbx
    push rbp
    call [rsi]
    pop rbp
    pop rbx
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
