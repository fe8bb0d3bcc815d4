    // The last switch of a coroutine, back to its resumer: nothing is saved, and
    // the return matches the call in resume.s.  rsi = the resumer's context,
    // rdx = the value handed over.
    mov rsp, rsi
    ret
