    // The coroutine's half of the asymmetric pair, with the saved frame of switch.s.
    //
    // in:  x0 = struct Link, x2 = the value handed over
    // out: x2 = the value handed over by the next resume
    //
    // It leaves by a return, which matches the branch with link in resume.s.
6:
    adr x3, 2f
    stp x19, x29, [sp, #-32]!
    str x3, [sp, #16]
    mov x4, sp
    str x4, [x0, #{coroutine}]
    ldr x1, [x0, #{resumer}]
    ldr x30, [x1, #16]
    mov sp, x1
    ret
2:
    ldp x19, x29, [sp], #32
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
