/** Connects to the Valkey or Redis server of a queue. */
import type { Redis, RedisOptions } from "ioredis";
import { errorMessage, PithError, stripPeriod } from "../../../core/errors.ts";

interface Server {
  readonly name: string;
  readonly options: RedisOptions;
}

/**
 * Parses the address of a server. The password can also come from REDISCLI_AUTH, as for redis-cli.
 * @throws PithError E_USAGE. Its message does not contain the address, which can include a password.
 */
export function parseServer(url: string): Server {
  const server = URL.canParse(url) ? serverOf(new URL(url)) : undefined;
  if (server !== undefined) return server;
  throw new PithError(
    "E_USAGE",
    "The address of the queue is not valid: expected redis://host:6379 or rediss://user:password@host:6379.",
    { hint: "Write special characters of a password as in a URL: %2F for /, %40 for @, %23 for #, %3F for ?." },
  );
}

function serverOf(url: URL): Server | undefined {
  const { protocol, host, hostname, port, pathname, search, hash } = url;
  const [, database] = /^\/?(\d*)$/.exec(pathname) ?? [];
  const [username, password] = [url.username, url.password].map(decode);
  const isServer = /^rediss?:$/.test(protocol) && hostname !== "" && database !== undefined && search + hash === "";
  if (!isServer || username === undefined || password === undefined) return undefined;
  return {
    name: `${protocol}//${host}${pathname}`,
    options: {
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: port === "" ? 6379 : Number(port),
      db: Number(database),
      username,
      password: password || process.env.REDISCLI_AUTH || "",
      ...(protocol === "rediss:" ? { tls: {} } : {}),
    },
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Milliseconds in which a server must respond after it has accepted the connection. */
const responseTimeout = 10_000;

/** Waits until the client is ready. @throws PithError E_FILE with the reason if the server cannot be used. */
export async function connect(redis: Redis, name: string): Promise<Redis> {
  let failure: unknown;
  // Without a listener, the client prints each failed reconnection.
  redis.on("error", (error: unknown) => {
    failure ??= error;
  });
  let timer: NodeJS.Timeout | undefined;
  const noResponse = new Promise<never>((_, reject) => {
    redis.once("connect", () => {
      timer = setTimeout(reject, responseTimeout, new Error("no answer"));
    });
  });
  const [outcome] = await Promise.allSettled([Promise.race([redis.connect(), noResponse])]);
  clearTimeout(timer);
  if (outcome.status === "fulfilled" && failure === undefined) return redis;
  redis.disconnect();
  const cause = failure ?? (outcome.status === "rejected" ? outcome.reason : undefined);
  const [sentence, hint] = reasonOf(cause, name);
  throw new PithError("E_FILE", `${sentence}.`, { hint, cause });
}

function reasonOf(cause: unknown, name: string): readonly [sentence: string, hint: string] {
  const { code = "" } = (cause ?? {}) as { readonly code?: string };
  const text = errorMessage(cause);
  if (/WRONGPASS|invalid password/.test(text))
    return [`The server at ${name} rejects the password`, "Check the password in the address, or in REDISCLI_AUTH."];
  if (/NOAUTH/.test(text))
    return [`The server at ${name} requires a password`, "Write redis://:password@host, or set REDISCLI_AUTH."];
  if (/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_TLS_CERT)/.test(code))
    return [
      `The certificate of the server at ${name} is not valid: ${stripPeriod(text)}`,
      "Set NODE_EXTRA_CA_CERTS to a file with your certificate authorities.",
    ];
  if (/^(EPROTO|ERR_SSL)/.test(code))
    return [
      `The server at ${name} does not speak TLS`,
      "Begin the address with redis:// for a connection without TLS.",
    ];
  if (/^E[A-Z_]+$/.test(code) && code !== "ECONNRESET" && code !== "EPIPE") {
    const [kind, other] = name.startsWith("rediss") ? ["with TLS ", "; without TLS it begins with redis://"] : ["", ""];
    return [
      `No server ${kind}answers at ${name} (${code})`,
      `Start redis-server or valkey-server there, or check the address${other}.`,
    ];
  }
  // The message can repeat the arguments of an unknown command, including a password, so they are cut off.
  if (/^(Ready check failed: )?[A-Z]{3,} /.test(text))
    return [
      `The server at ${name} rejects the connection: ${stripPeriod(text.split(", with args")[0] ?? "")}`,
      "Check the settings and the log of the server.",
    ];
  return [
    `The server at ${name} does not answer as Redis or Valkey do`,
    "Check host and port; begin the address with rediss:// for TLS.",
  ];
}
