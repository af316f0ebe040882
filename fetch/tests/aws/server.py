"""S3 and the metadata of an instance on one port of the loopback interface, for tests.

moto keeps the buckets and answers as S3 does, but it believes every signature. So signatures are checked here, by botocore, the
library of AWS's own client. The region is checked too, and the metadata wants the token of IMDSv2.

    server.py

The first line on standard output is the port. Then each request is a line: method, path, and who asked.
"""

import datetime
import hmac
import sys
import threading
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# The keys of moto's instance, and those that fill the buckets.
KEYS = {"test-key": ("test-secret-key", "test-session-token"), "filler": ("filler-secret", None)}
TOKEN = "token-of-imds"
REGIONS = {"private": "us-east-1", "public.files": "us-east-1", "far": "eu-central-1"}


def answer(start, status, body, **headers):
    """Answers with `body`, which is plain text or a document of XML."""
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    start(status, [("Content-Length", str(len(body)))] + fields)
    return [body.encode()]


def refuse(start, status, code, **headers):
    """Answers as S3 does when it refuses something. The secret of the test must not get into a message."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Key>secret</Key></Error>'
    return answer(start, status, body, Content_Type="application/xml", **headers)


def signed(environ):
    """Returns the key, the region and the time of a request, and whether botocore signs it in the same way."""
    words = environ["HTTP_AUTHORIZATION"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    fields = dict(word.split("=", 1) for word in words)
    key, _, region, service, _ = fields["Credential"].split("/")
    names = fields["SignedHeaders"].split(";")
    headers = {name: environ["HTTP_" + name.upper().replace("-", "_")] for name in names}
    url = "http://" + environ["HTTP_HOST"] + environ["RAW_URI"]
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, data=b"", headers=headers)
    request.context["timestamp"] = headers["x-amz-date"]
    secret, token = KEYS.get(key, ("", None))
    signer = S3SigV4Auth(Credentials(key, secret, token), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    wanted = {"host", "x-amz-content-sha256", "x-amz-date"} | ({"x-amz-security-token"} if token else set())
    good = hmac.compare_digest(signer.signature(text, request), fields["Signature"])
    good = good and wanted <= set(names) and headers.get("x-amz-security-token") == token
    when = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    return key, region, when, good


class Checked:
    """Lets a request through to moto if AWS would."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ, start):
        path = environ["PATH_INFO"]
        if path.startswith("/latest/"):
            return self.metadata(path, environ, start)
        if "HTTP_AUTHORIZATION" in environ:
            key, region, when, good = signed(environ)
        else:
            key, region, when, good = "nobody", None, None, True
        if key != "filler":
            print(environ["REQUEST_METHOD"], environ["RAW_URI"], key, flush=True)
        if not good:
            return refuse(start, "403 Forbidden", "SignatureDoesNotMatch")
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        if when and abs(now - when) > datetime.timedelta(minutes=15):
            return refuse(start, "403 Forbidden", "RequestTimeTooSkewed")
        home = REGIONS.get(path.split("/")[1])
        if home and region and region != home and key != "filler":
            return refuse(start, "301 Moved Permanently", "PermanentRedirect", X_Amz_Bucket_Region=home)
        if key == "nobody" and environ["REQUEST_METHOD"] == "HEAD" and home:
            return answer(start, "403 Forbidden", "", X_Amz_Bucket_Region=home)
        return self.moto(environ, start)

    def metadata(self, path, environ, start):
        print(environ["REQUEST_METHOD"], path, "metadata", flush=True)
        if path == "/latest/api/token":
            lifetime = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", "")
            if environ["REQUEST_METHOD"] != "PUT" or not lifetime.isdigit():
                return answer(start, "400 Bad Request", "")
            return answer(start, "200 OK", TOKEN)
        if environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN") != TOKEN:
            return answer(start, "401 Unauthorized", "")
        environ["HTTP_HOST"] = "169.254.169.254"
        return self.moto(environ, start)


class Quiet(WSGIRequestHandler):
    """Keeps the lines of werkzeug out of the test's output."""

    def log(self, *_):
        pass


def fill(port):
    """Makes the buckets and their objects."""

    def client(region):
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name=region,
            aws_access_key_id="filler",
            aws_secret_access_key="filler-secret",
            config=Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )

    s3 = client("us-east-1")
    s3.create_bucket(Bucket="private")
    s3.put_bucket_versioning(Bucket="private", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="private", Key="a b/\u00e4+~%41.txt", Body=b"old")["VersionId"]
    s3.put_object(Bucket="private", Key="a b/\u00e4+~%41.txt", Body=b"new")
    s3.put_object(Bucket="private", Key="large", Body=bytes(range(256)) * 4096 * 3)
    s3.create_bucket(Bucket="public.files")
    s3.put_object(Bucket="public.files", Key="x", Body=b"for all", ACL="public-read")
    s3.put_object(Bucket="public.files", Key="y", Body=b"for few", ACL="private")
    far = client("eu-central-1")
    far.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    far.put_object(Bucket="far", Key="x", Body=b"from far", ACL="public-read")
    return urllib.parse.quote(old)


def main():
    server = make_server("127.0.0.1", 0, Checked(), threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    version = fill(server.server_port)
    print(server.server_port, version, flush=True)
    # Whoever started the server ends it by closing its standard input.
    sys.stdin.read()


main()
