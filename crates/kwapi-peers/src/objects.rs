//! An S3 server that checks signatures, moto of the Python environment `objects`. It keeps everything in memory: what was
//! put there is gone when it ends.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::{Lab, Peer, output, python_environment};

/// What it may take to start on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Makes a bucket and a user, whose keys are printed; from then on requests must be signed. The seed makes the keys the same
/// each time.
const SET_UP: &str = r#"
import boto3, json, sys, urllib.request
url, bucket, region = sys.argv[1:]
post = lambda path, data: urllib.request.urlopen(urllib.request.Request(url + path, data, {"Content-Type": "text/plain"})).read()
post("/moto-api/seed?a=7", b"")
clients = dict(endpoint_url=url, region_name=region, aws_access_key_id="root", aws_secret_access_key="root")
boto3.client("s3", **clients).create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
iam = boto3.client("iam", **clients)
iam.create_user(UserName="kwapi")
allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="kwapi", PolicyName="s3", PolicyDocument=json.dumps(allowed))
key = iam.create_access_key(UserName="kwapi")["AccessKey"]
post("/moto-api/reset-auth", b"0")
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// Runs a program of the environment with Amazon's client; returns what it printed.
///
/// # Panics
/// With everything it printed, when it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    output(Command::new(python_environment("objects")).args(["-c", program]).args(arguments))
}

/// A running server with one bucket and one user.
#[derive(Debug)]
pub struct ObjectServer {
    /// Its process.
    pub process: Peer,
    /// The user's key…
    pub access_key: String,
    /// …and its secret.
    pub secret_key: String,
    port: u16,
}

impl ObjectServer {
    /// The bucket there is.
    pub const BUCKET: &str = "energy";
    /// Where it is.
    pub const REGION: &str = "eu-west-3";

    /// Starts one on `port`, its log in `lab`.
    ///
    /// # Panics
    /// With what it printed, when it does not come up.
    pub fn start(lab: &Lab, port: u16) -> Self {
        let python = python_environment("objects");
        let mut command = Command::new(python.with_file_name("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let process = Peer::start(&mut command, lab.join("objects.log"))
            .ready(START_LIMIT, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let url = format!("http://127.0.0.1:{port}");
        let keys = run(SET_UP, &[&url, Self::BUCKET, Self::REGION]);
        let (access_key, secret_key) = keys.trim().split_once(' ').expect("two keys");
        Self { process, access_key: access_key.to_owned(), secret_key: secret_key.to_owned(), port }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a program of Amazon's own client, which finds the bucket as `bucket`, the client as `s3`, and `arguments` as
    /// `sys.argv[1:]`; returns what it printed.
    ///
    /// # Panics
    /// With everything it printed, when it fails.
    pub fn client(&self, program: &str, arguments: &[&str]) -> String {
        let Self { access_key, secret_key, .. } = self;
        let program = format!(
            "import boto3, sys\nbucket = {:?}\ns3 = boto3.client('s3', endpoint_url={:?}, region_name={:?}, \
             aws_access_key_id={access_key:?}, aws_secret_access_key={secret_key:?})\n{program}",
            Self::BUCKET,
            self.endpoint(),
            Self::REGION,
        );
        run(&program, arguments)
    }

    /// Keys and sizes of all objects.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn objects(&self) -> Vec<(String, u64)> {
        let text = self.client(
            "for page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket):\n for of in page.get('Contents', []): print(of['Size'], of['Key'])",
            &[],
        );
        let object = |line: &str| {
            let (size, key) = line.split_once(' ').expect("size and key");
            (key.to_owned(), size.parse().expect("a size"))
        };
        text.lines().map(object).collect()
    }

    /// Writes all objects below `folder`, by their keys.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn download(&self, folder: &std::path::Path) {
        self.client(
            "import os\nfor page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket):\n for of in page.get('Contents', []):\n  path = os.path.join(sys.argv[1], of['Key'])\n  os.makedirs(os.path.dirname(path), exist_ok=True)\n  s3.download_file(bucket, of['Key'], path)",
            &[&folder.display().to_string()],
        );
    }
}
