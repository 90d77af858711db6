/**
 * Serves the page of the studio and answers its calls, on the loopback address. The printed address contains a key, which is exchanged for a cookie.
 * Browsers send cookies to all ports of a host, so the cookie is limited to a secret path. Requests must name the server's host, against DNS rebinding.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createReadStream, readdirSync } from "node:fs";
import { mkdir, open as openHandle, readFile, rm, stat, statfs } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { type ErrorCode, errorMessage, fileError, optionError, PithError } from "#ir";
import { throwFileError } from "../../../core/platform/node-file-errors.ts";
import type { Answer, SessionProcess } from "./session-process.ts";

export interface StudioOptions {
  /** Folder of the built page. */
  readonly page: string;
  readonly uploads: string;
  readonly session: SessionProcess;
  /** Paths that the page opens at the start. */
  readonly start: { readonly model?: string | undefined; readonly data?: string | undefined };
  /** 0 selects a free port. */
  readonly port: number;
  /** Called when the address with the key was opened. */
  readonly onVisit?: () => void;
}

export interface StudioServer {
  /** The address with the key, for one visit. */
  readonly address: string;
  close(): void;
}

const host = "127.0.0.1";
const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
};
const headers = {
  "Content-Security-Policy":
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
};
const refusalText =
  "This address is not valid (any more). Start `pith studio` again, and open the address that it prints.\n";
/** Maximum bytes of a call's parameters. */
const maxCallBytes = 2 ** 26;
/** Bytes of the disk that uploads leave free. */
const freeBytes = 2 ** 30;

/** @throws PithError E_FILE if the port is not available. */
export async function serveStudio({
  page,
  uploads,
  session,
  start,
  port,
  onVisit,
}: StudioOptions): Promise<StudioServer> {
  let key: string | undefined = randomKey();
  const [folder, cookieValue] = [`/${randomKey()}/`, randomKey()];
  const files = new Set(
    readdirSync(page, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  // The session writes candidates there, so no uploaded file can have this name.
  await mkdir(join(uploads, ".candidates"), { recursive: true });
  const server = createServer((request, response) => {
    answer(request, response).catch((error) => {
      // A connection on which a part of a request remains cannot be used again.
      request.resume();
      fail(response, error);
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve)).catch(
    (cause) => {
      const hint = "Without --port, a free port is selected.";
      throw fileError(`Port ${port} cannot be opened: ${errorMessage(cause)}.`, { cause, hint });
    },
  );
  const { port: actualPort } = server.address() as AddressInfo;
  const ownHost = `${host}:${actualPort}`;
  const cookie = `pith-studio-${actualPort}=${cookieValue}`;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const { method, headers: sent } = request;
    const [address = ""] = (request.url ?? "").split("?");
    const isOwnOrigin = sent.origin === `http://${ownHost}`;
    if (sent.host !== ownHost || (sent.origin !== undefined && !isOwnOrigin)) return refuse(response);
    if (method === "GET" && key !== undefined && isEqual(address, `/${key}`)) {
      key = undefined;
      onVisit?.();
      response.setHeader("Set-Cookie", `${cookie}; Path=${folder}; HttpOnly; SameSite=Strict`);
      response.setHeader("Content-Type", contentTypes[".html"] ?? "");
      // A redirect would belong to the navigation of another program, to which the browser does not send strict cookies.
      response.end(
        `<!doctype html><title>Pith Studio</title><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0; url=${folder}">`,
      );
      return;
    }
    const cookies = (sent.cookie ?? "").split("; ");
    if (!address.startsWith(folder) || !cookies.some((each) => isEqual(each, cookie))) return refuse(response);
    const [kind = "", ...parts] = address.slice(folder.length).split("/");
    if (method === "GET" && kind === "files") return sendStored(response, parts.join("/"));
    if (method === "GET") return sendPage(response, join(page, address.slice(folder.length) || "index.html"));
    if (!isOwnOrigin) return refuse(response);
    if (method === "PUT" && kind === "files") return receiveFile(request, response, parts.join("/"));
    if (method === "POST" && kind === "calls") return answerCall(request, response, parts.join("/"));
    return refuse(response);
  }

  async function sendPage(response: ServerResponse, path: string): Promise<void> {
    if (!files.has(path)) return refuse(response);
    const content = await readFile(path);
    response.setHeader("Content-Type", contentTypes[extname(path)] ?? "application/octet-stream");
    const startData = `<meta name="pith-start" content="${escapeAttribute(JSON.stringify(start))}">`;
    response.end(
      path === join(page, "index.html") ? String(content).replace("<head>", () => `<head>${startData}`) : content,
    );
  }

  async function sendStored(response: ServerResponse, name: string): Promise<void> {
    const path = uploadPath(uploads, name);
    const stats = await stat(path).catch(() => undefined);
    if (stats?.isFile() !== true) return refuse(response);
    response.setHeader("Content-Type", "application/octet-stream");
    response.setHeader("Content-Length", stats.size);
    await pipeline(createReadStream(path), response);
  }

  async function receiveFile(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const path = uploadPath(uploads, name);
    const bytes = Number(request.headers["content-length"] ?? Number.NaN);
    const { bavail, bsize } = await statfs(uploads);
    if (!(bytes <= bavail * bsize - freeBytes))
      throw fileError(`"${name}" does not fit into the folder of temporary files.`, {
        hint: "Name the file on the command line, which reads it where it is: pith studio model.onnx --data path.",
      });
    const throwUnwritable = throwFileError(`"${name}" cannot be written`);
    await mkdir(dirname(path), { recursive: true }).catch(throwUnwritable);
    const handle = await openHandle(path, "w").catch(throwUnwritable);
    try {
      for await (const chunk of request.iterator({ destroyOnReturn: false }))
        await handle.appendFile(chunk).catch(throwUnwritable);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
    response.end();
  }

  /** Streams the answers of a call as lines. If the page stops reading, the call is stopped. */
  async function answerCall(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const controller = new AbortController();
    response.on("close", () => controller.abort());
    const onAnswer = ({ line, isLast }: Answer): void => {
      response.write(`${line}\n`);
      if (isLast) response.end();
    };
    await session.call(name, await readText(request), onAnswer, controller.signal);
  }

  return {
    address: `http://${ownHost}/${key}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

const randomKey = (): string => randomBytes(24).toString("base64url");

/** Compares in a time that does not depend on the texts. */
function isEqual(text: string, secret: string): boolean {
  const [digest, expected] = [text, secret].map((each) => createHash("sha256").update(each).digest());
  return digest !== undefined && expected !== undefined && timingSafeEqual(digest, expected);
}

const escapeAttribute = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

function refuse(response: ServerResponse): void {
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.writeHead(403).end(refusalText);
}

function fail(response: ServerResponse, error: unknown): void {
  const { code, hint } = error instanceof PithError ? error : { code: "internal", hint: undefined };
  const isCrash = code === ("E_ENGINE" satisfies ErrorCode);
  const advice = isCrash ? `Finished candidates are kept. ${hint ?? ""}` : hint;
  response.end(`${JSON.stringify({ failure: { message: errorMessage(error), code, hint: advice, isCrash } })}\n`);
}

/** Returns the path of an uploaded file. @throws PithError E_FILE if the name leaves the folder, or does on another system. */
function uploadPath(folder: string, name: string): string {
  const path = join(folder, decodePath(name));
  if (!path.startsWith(folder + sep) || /[\0\\:]|(^|[/\\])\.[. ]+([/\\]|$)/.test(path.slice(folder.length + 1)))
    throw fileError(`"${name}" is not a name for a file.`, { hint: "Rename the file." });
  return path;
}

function decodePath(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return "";
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length;
    if (bytes > maxCallBytes) throw optionError(`A call has more than ${maxCallBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
