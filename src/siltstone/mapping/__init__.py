"""What sources share on the way from foreign records to rows of a contract: instants, values, sites, misfits."""
