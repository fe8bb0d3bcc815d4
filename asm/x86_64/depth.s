    // Subtracts the stack pointer from an address.
    sub {depth}, rsp
