/** As much of the Hugging Face Hub as Pith asks of it: one model, large files from another server, ranges, pages of the list, and a former name. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createRequire } from "node:module";

export interface HubServer {
  readonly url: string;
  readonly files: Map<string, Buffer>;
  readonly requests: HubRequest[];
  /** Number of bytes after which the next contents break off. */
  readonly breaks: number[];
  /** Status of all answers for the model, or for its files. */
  refused: { readonly status: number; readonly path: RegExp } | undefined;
  /** Whether the first byte of large files is wrong. */
  isDamaged: boolean;
  close(): void;
}

export interface HubRequest {
  readonly server: "hub" | "files";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** Whether the package is installed with which Pith downloads. It is optional. */
export const isHubInstalled = ((): boolean => {
  try {
    return createRequire(import.meta.url).resolve("@huggingface/hub") !== "";
  } catch {
    return false;
  }
})();

export const sha = "0123456789".repeat(4);

const isLarge = (path: string): boolean => /\.onnx|_data/.test(path);
const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
const gitHash = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

const listen = async (server: Server): Promise<string> => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? `http://127.0.0.1:${address.port}` : "";
};

export async function startHub(name: string): Promise<HubServer> {
  const [files, requests, breaks] = [new Map<string, Buffer>(), [] as HubRequest[], [] as number[]];
  const note = (server: HubRequest["server"], { url: path = "", headers }: IncomingMessage): string => {
    requests.push({ server, path, range: headers.range, authorization: headers.authorization });
    return decodeURIComponent(path);
  };
  const send = (from: IncomingMessage, to: ServerResponse, content: Buffer): void => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(from.headers.range ?? "") ?? [];
    const [start, end] = first === undefined ? [0, content.length] : [Number(first), Number(last) + 1];
    const headers = { etag: `"${sha256(content)}"`, "content-length": end - start };
    if (first === undefined) to.writeHead(200, headers);
    else to.writeHead(206, { ...headers, "content-range": `bytes ${start}-${end - 1}/${content.length}` });
    const most = end - start > 1 ? breaks.shift() : undefined;
    if (most === undefined) to.end(content.subarray(start, end));
    else if (most === 0) to.destroy();
    else to.write(content.subarray(start, start + most), () => setTimeout(() => to.destroy(), 20));
  };
  const entryOf = ([path, content]: readonly [string, Buffer]): object => {
    const size = content.length;
    const lfs = isLarge(path) ? { lfs: { oid: sha256(content), size, pointerSize: 130 } } : {};
    return { type: "file", path, size, oid: isLarge(path) ? "0".repeat(40) : gitHash(content), ...lfs };
  };
  const contents = createServer((from, to) => {
    const digest = note("files", from).slice(1);
    const content = [...files.values()].find((candidate) => sha256(candidate) === digest);
    if (content === undefined) return void to.writeHead(404).end();
    const sent = Buffer.from(content);
    if (result.isDamaged) sent[0] = (sent[0] ?? 0) ^ 1;
    send(from, to, sent);
  });
  const contentsUrl = await listen(contents);
  const hub = createServer((from, to) => {
    const path = note("hub", from);
    if (result.refused?.path.test(path)) return void to.writeHead(result.refused.status).end("refused");
    if (path.includes("/former/"))
      return void to.writeHead(307, { location: (from.url ?? "").replace("/former/", "/owner/") }).end();
    const json = (value: unknown, more = {}): void => {
      to.writeHead(200, { "content-type": "application/json", ...more }).end(JSON.stringify(value));
    };
    if (path.startsWith(`/api/models/${name}/revision/`)) return json({ _id: "1", id: name, sha });
    const entries = [{ type: "directory", path: "onnx", oid: "1".repeat(40), size: 0 }, ...[...files].map(entryOf)];
    if (path.startsWith(`/api/models/${name}/tree/${sha}?cursor`)) return json(entries.slice(2));
    if (path.startsWith(`/api/models/${name}/tree/${sha}`))
      return json(entries.slice(0, 2), { link: `<${result.url}/api/models/${name}/tree/${sha}?cursor=2>; rel="next"` });
    const file = path.slice(`/${name}/resolve/${sha}/`.length);
    const content = files.get(file);
    if (content === undefined) return void to.writeHead(404).end();
    if (isLarge(file)) return void to.writeHead(302, { location: `${contentsUrl}/${sha256(content)}` }).end();
    send(from, to, content);
  });
  const result: HubServer = {
    ...{ url: await listen(hub), files, requests, breaks, refused: undefined, isDamaged: false },
    close() {
      for (const server of [hub, contents]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
  return result;
}
