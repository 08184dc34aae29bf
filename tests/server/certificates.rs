//! Certificates of a private authority, made by openssl.
use std::path::Path;
use std::process::Command;

/// For 127.0.0.1, into a folder: `ca.pem`, and of each name `.key`, `.crt`, and `.pem` of both and the authority. That of `expired` has expired. None where
/// there is no openssl, and the test is skipped.
pub fn certificates(names: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let script = "set -e; cd $1
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority
for who in $2; do
  days=30; [ $who = expired ] && days=-1
  openssl req -newkey rsa:2048 -nodes -keyout $who.key -out $who.csr -subj /CN=$who
  printf 'subjectAltName=IP:127.0.0.1' >ext; openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days $days -out $who.crt -extfile ext
  openssl pkcs8 -topk8 -nocrypt -in $who.key -out $who.pk8; cat $who.pk8 $who.crt ca.pem >$who.pem
done";
    let is_made =
        |path: &Path| Command::new("bash").args(["-c", script, "bash"]).arg(path).arg(names).output().is_ok_and(|out| out.status.success());
    if is_made(folder.path()) {
        return Some(folder);
    }
    assert_ne!(std::env::var("TRIPLINE_REQUIRE_SERVICES").as_deref(), Ok("1"), "no openssl to make certificates with");
    eprintln!("skipped: no openssl to make certificates with");
    None
}
