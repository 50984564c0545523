//! Which certificates belong to an address.

use crate::certificate::{self, Certificate};
use std::collections::BTreeMap;
use wasmilter_sdk::{DirectoryContent, Problems, escape};

/// Files with other endings (a README, a certificate request) are not looked at.
const ENDINGS: [&str; 4] = ["pem", "crt", "cer", "der"];

/// The configured certificates, by address and by domain.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    certificates: Vec<Certificate>,
    by_address: BTreeMap<String, Vec<usize>>,
    by_domain: BTreeMap<String, Vec<usize>>,
}

impl Directory {
    /// Reads all certificates of `content`. `domains` names the file with the certificate of a whole domain.
    pub(crate) fn new(
        content: &DirectoryContent,
        domains: &BTreeMap<String, String>,
        minimum_rsa_bits: usize,
        problems: &mut Problems,
    ) -> Self {
        let mut directory = Self::default();
        let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for file in &content.files {
            let Some((stem, ending)) = file.name.rsplit_once('.') else { continue };
            if !ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
                continue;
            }
            let certificates = certificate::in_file(&file.bytes).and_then(|list| {
                list.iter().map(|der| Certificate::parse(der, minimum_rsa_bits)).collect::<Result<Vec<_>, _>>()
            });
            let Some(certificates) =
                problems.take("/certificates", certificates.map_err(|what| format!("file {:?} {what}", file.name)))
            else {
                continue;
            };
            for certificate in certificates {
                let index = directory.add(certificate, stem);
                by_file.entry(&file.name).or_default().push(index);
            }
        }
        for (domain, file) in domains {
            match by_file.get(file.as_str()) {
                Some(indices) => {
                    directory.by_domain.entry(domain.to_ascii_lowercase()).or_default().extend(indices);
                }
                None => problems.add(
                    format!("/domains/{}", escape(domain)),
                    format!("no certificate in a file named {file:?} in {:?}", content.path),
                ),
            }
        }
        directory
    }

    /// Files the certificate under its own addresses and under `stem`, the file's name, if that is an address.
    fn add(&mut self, certificate: Certificate, stem: &str) -> usize {
        let index = self.certificates.len();
        let named = stem.contains('@').then(|| stem.to_ascii_lowercase());
        for address in certificate.addresses.iter().cloned().chain(named) {
            let indices = self.by_address.entry(address).or_default();
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        self.certificates.push(certificate);
        index
    }

    /// The certificates of an address; those of its domain when it has none itself. Upper and lower case are the same.
    pub(crate) fn find(&self, address: &str) -> impl Iterator<Item = &Certificate> {
        let address = address.to_ascii_lowercase();
        let indices = self.by_address.get(&address).or_else(|| {
            let (_, domain) = address.rsplit_once('@')?;
            self.by_domain.get(domain)
        });
        indices.into_iter().flatten().filter_map(|&index| self.certificates.get(index))
    }

    /// How many certificates there are.
    pub(crate) fn len(&self) -> usize {
        self.certificates.len()
    }
}
