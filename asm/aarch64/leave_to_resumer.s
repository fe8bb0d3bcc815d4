    // The last switch of a coroutine, back to its resumer: nothing is saved, and
    // the return matches the branch with link in resume.s.  x1 = the resumer's
    // context, x2 = the value handed over.
6:
    ldr x30, [x1, #16]
    mov sp, x1
    ret
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
