    // Symmetric switch: any context to any other.
    //
    // in:  x0 = where to store the saved context, x1 = the context to enter,
    //      x2 = the value handed over
    // out: x2 = the value handed over by whoever comes back
    //
    // What a saved context points at (struct SavedFrame):
    //
    //     sp + 24   (padding: the stack pointer is always 16-byte aligned)
    //     sp + 16   pc     where to go on
    //     sp +  8   x29    reserved by the compiler, so kept by hand
    //     sp        x19    likewise
    //
    // Every other register is declared lost by the caller of this text, so the
    // compiler spills exactly those that are live.
6:
    adr x3, 2f
    stp x19, x29, [sp, #-32]!
    str x3, [sp, #16]
    mov x4, sp
    str x4, [x0]
    ldr x3, [x1, #16]
    mov sp, x1
    br x3
2:
    ldp x19, x29, [sp], #32
7:
    .pushsection cove_switches, "aR", %progbits
    .long 6b - ., 7b - .
    .popsection
