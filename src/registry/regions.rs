//! The regions that AWS had when this version was made. A host of any other region is served all
//! the same: this list only explains a failure, and is a warning of `doctor`.

use crate::nearest::nearest;

/// Those of botocore's table, by partition.
#[rustfmt::skip]
const REGIONS: &[&str] = &[
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3",
    "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1",
    "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2",
    "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1",
    "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
    "us-gov-east-1", "us-gov-west-1",
    "cn-north-1", "cn-northwest-1",
    "eusc-de-east-1",
    "us-iso-east-1", "us-iso-west-1",
    "us-isob-east-1", "us-isob-west-1",
    "eu-isoe-west-1",
    "us-isof-east-1", "us-isof-south-1",
];

/// Whether this version knows the region.
pub fn is_known_region(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// The region that was probably meant by an unknown one; none if another number could be a new
/// region's. A known first part, which stands for a partition or a part of the world, is kept.
pub fn nearest_region(region: &str) -> Option<&'static str> {
    let place = |region: &str| {
        region
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    if REGIONS.iter().any(|known| place(known) == place(region)) {
        return None;
    }
    let first = |region: &str| region.split('-').next().unwrap_or_default().to_owned();
    let is_known = REGIONS.iter().any(|known| first(known) == first(region));
    let candidates = REGIONS.iter().copied();
    nearest(
        region,
        candidates.filter(|known| !is_known || first(known) == first(region)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::{PARTITIONS, Partition, is_region};
    use super::*;

    #[test]
    fn regions_are_those_of_all_partitions() {
        assert!(REGIONS.iter().all(|region| is_region(region)));
        for partition in PARTITIONS {
            assert!(is_known_region(partition.home_region), "{}", partition.id);
            let of = |region: &&&str| Partition::of_region(region) == partition;
            assert!(REGIONS.iter().filter(of).count() > 0, "{}", partition.id);
        }
    }

    #[test]
    fn misspelt_region_has_a_neighbour() {
        assert_eq!(nearest_region("us-esat-1"), Some("us-east-1"));
        assert_eq!(nearest_region("eu-wset-1"), Some("eu-west-1"));
        assert!(!is_known_region("us-esat-1"));
        assert_eq!(nearest_region("us-gov-wset-1"), Some("us-gov-west-1"));
        for region in ["moon-crater-9", "ap-southeast-8", "us-east-3", "cn-west-1"] {
            assert_eq!(nearest_region(region), None, "{region}");
        }
    }
}
