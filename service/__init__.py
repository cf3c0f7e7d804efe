"""Who may do what when: REST, storage, leases, the search loop and the command line."""
