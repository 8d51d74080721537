# Sends a file with tuspy, told by one JSON object on standard input, and prints the upload's address:
# { "endpoint", "file", "chunk": bytes, "metadata"?: {}, "store"?: file, "checksum"?: bool, "stop_at"?: bytes }
# Must never know what the server makes of it.

import json
import sys

from tusclient import client
from tusclient.storage import filestorage

task = json.load(sys.stdin)
store = filestorage.FileStorage(task["store"]) if "store" in task else None
uploader = client.TusClient(task["endpoint"]).uploader(
    task["file"],
    chunk_size=task["chunk"],
    metadata=task.get("metadata"),
    upload_checksum=task.get("checksum", False),
    store_url=store is not None,
    url_storage=store,
    retries=0,
)
uploader.upload(stop_at=task.get("stop_at"))
json.dump({"url": uploader.url, "offset": uploader.offset}, sys.stdout)
