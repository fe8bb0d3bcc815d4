    // Subtracts the stack pointer from an address.
    mov {scratch}, sp
    sub {depth}, {depth}, {scratch}
