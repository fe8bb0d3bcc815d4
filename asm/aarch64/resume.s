    // The resumer's half of the asymmetric pair; same registers and same saved
    // frame as the symmetric switch.  The pc is set by a branch with link, which the
    // return in suspend.s then matches, so the return predictor stays in step.
6:
    bl 3f
    ldp x19, x29, [sp], #32
    b 4f
3:
    stp x19, x29, [sp, #-32]!
    str x30, [sp, #16]
    mov x4, sp
    str x4, [x0]
    ldr x3, [x1, #16]
    mov sp, x1
    br x3
4:
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
