    // Calls {function} with the argument in x0, on the stack that is current, but
    // describes the caller of that call as the suspended context in x20: an unwinder
    // started inside the function walks on into the suspended stack.
    //
    // The unwinder finds x20 because the function preserves it.  The context's saved
    // frame (see switch.s) gives the rules: the canonical frame address is just
    // above it, and pc, x29 and x19 lie at 16, 24 and 32 bytes below that.
    stp x19, x29, [sp, #-16]!
    .cfi_remember_state
    .cfi_def_cfa x20, 32
    .cfi_offset x30, -16
    .cfi_offset x29, -24
    .cfi_offset x19, -32
    blr {function}
    .cfi_restore_state
    ldp x19, x29, [sp], #16
