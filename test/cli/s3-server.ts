/** As much of S3 as Pith asks of it: objects in memory, in parts too; two keys, of which one may only read. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface S3Server {
  readonly url: string;
  /** By "bucket/name". */
  readonly objects: Map<string, Buffer>;
  /** Method and path of each request, such as "PUT bucket/name". */
  readonly requests: string[];
  /** The next answers with an object break off after so many bytes. */
  readonly breaks: number[];
  close(): void;
}

export async function startS3(bucket: string): Promise<S3Server> {
  const objects = new Map<string, Buffer>();
  const uploads = new Map<string, Map<number, Buffer>>();
  const [requests, breaks]: [string[], number[]] = [[], []];
  const refuse = (to: ServerResponse, status: number, code: string): void => {
    to.writeHead(status, { "content-type": "application/xml" });
    to.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}, said in words</Message></Error>`);
  };
  const answer = async (from: IncomingMessage, to: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(from.url ?? "", "http://localhost");
    const [name, method] = [decodeURIComponent(pathname.slice(1)), from.method ?? ""];
    requests.push(`${method} ${name}`);
    const parts: Buffer[] = [];
    for await (const part of from) parts.push(part);
    const body = Buffer.concat(parts);
    const key = /Credential=(\w+)\//.exec(from.headers.authorization ?? "")?.[1];
    if (key !== "writer" && (key !== "reader" || !["GET", "HEAD"].includes(method)))
      return refuse(to, 403, "AccessDenied");
    const content = objects.get(name);
    const upload = searchParams.get("uploadId");
    if (method === "HEAD") return void to.writeHead(content === undefined ? 404 : 200).end();
    if (!name.startsWith(`${bucket}/`)) return refuse(to, 404, "NoSuchBucket");
    if (method === "GET") {
      if (content === undefined) return refuse(to, 404, "NoSuchKey");
      const etag = `"${createHash("md5").update(content).digest("hex")}"`;
      if ((from.headers["if-match"] ?? etag) !== etag) return refuse(to, 412, "PreconditionFailed");
      const start = Number(/^bytes=(\d+)-$/.exec(from.headers.range ?? "")?.[1] ?? 0);
      to.writeHead(start === 0 ? 200 : 206, { etag, "content-length": content.length - start });
      const most = breaks.shift();
      if (most === undefined) return void to.end(content.subarray(start));
      to.write(content.subarray(start, start + most), () => to.destroy());
    } else if (method === "POST" && upload === null) {
      uploads.set(name, new Map());
      to.end(`<InitiateMultipartUploadResult><UploadId>${uploads.size}</UploadId></InitiateMultipartUploadResult>`);
    } else if (method === "PUT" && upload !== null) {
      uploads.get(name)?.set(Number(searchParams.get("partNumber")), body);
      to.writeHead(200, { etag: `"part"` }).end();
    } else if (method === "POST") {
      const all = [...(uploads.get(name) ?? [])].sort(([a], [b]) => a - b).map(([, part]) => part);
      objects.set(name, Buffer.concat(all));
      to.end("<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>");
    } else {
      objects.set(name, body);
      to.writeHead(200, { etag: `"whole"` }).end();
    }
  };
  const server = createServer((from, to) => void answer(from, to));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${port}`, objects, requests, breaks, close };
}

/** Environment of a process that asks such a server. */
export const asking = (url: string, key = "writer"): Readonly<Record<string, string>> => ({
  AWS_ENDPOINT_URL: url,
  AWS_ACCESS_KEY_ID: key,
  AWS_SECRET_ACCESS_KEY: "hidden-from-all",
});
