//! ELBO profiles: additive sufficient statistics from which every cost table is rebuilt.
