    // The last switch of a coroutine, back to its resumer: nothing is saved, and
    // the return matches the call in resume.s.  rsi = the resumer's context,
    // rdx = the value handed over.
6:
    mov rsp, rsi
    ret
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
