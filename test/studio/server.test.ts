/** The server of `pith studio` refuses everything that is not its own page. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type StudioServer, serveStudio } from "../../src/app/cli/studio/server.ts";
import type { SessionProcess } from "../../src/app/cli/studio/session-process.ts";
import { PithError } from "../../src/core/errors.ts";
import { temporaryFolder } from "../temporary.ts";

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

interface Received {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Sends a request as it is: `fetch` would change the host and the path. */
function send(port: string, path: string, { method = "GET", headers = {}, body }: Sent = {}, host = "127.0.0.1") {
  return new Promise<Received>((resolve, reject) => {
    const sent = request({ host, port, path, method, headers }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
    });
    sent.on("error", reject).end(body);
  });
}

const echo: SessionProcess = {
  async call(name, parameters, onAnswer) {
    if (name === "crash") throw new PithError("E_ENGINE", "The computation: its process crashed.");
    onAnswer({ id: 1, line: JSON.stringify({ value: [name, parameters] }), isLast: true });
  },
  end: async () => {},
};

const servers: StudioServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(session = echo) {
  const folder = temporaryFolder();
  const [page, uploads] = [join(folder, "page"), join(folder, "files")];
  for (const each of [page, uploads]) await mkdir(each);
  await writeFile(join(page, "index.html"), "<html><head></head>the page</html>");
  await writeFile(join(folder, "secret"), "secret");
  let visits = 0;
  const onVisit = (): void => void visits++;
  const server = await serveStudio({ page, uploads, session, start: { model: `"a&b".onnx` }, port: 0, onVisit });
  servers.push(server);
  const { port, origin, pathname } = new URL(server.address);
  return { folder, uploads, port, origin, key: pathname, visits: () => visits };
}

/** Visits the printed address, as the browser does. */
async function visit() {
  const server = await serve();
  const { headers, text } = await send(server.port, server.key);
  const [path = ""] = /(?<=url=)[^"]+/.exec(text) ?? [];
  const [setCookie = ""] = headers["set-cookie"] ?? [];
  const cookie = setCookie.split(";")[0] ?? "";
  return {
    ...server,
    path,
    setCookie,
    call: { method: "POST", headers: { cookie, origin: server.origin }, body: "[]" },
  };
}

describe("the server of the studio", () => {
  test("accepts the printed key once, and exchanges it for a cookie that scripts and other sites cannot use", async () => {
    const { port, key, path, setCookie, call, visits } = await visit();
    expect(visits()).toBe(1);
    expect(setCookie).toContain(`Path=${path}; HttpOnly; SameSite=Strict`);
    expect((await send(port, key)).status).toBe(403);
    const page = await send(port, path, { headers: { cookie: call.headers.cookie } });
    expect(page.text).toContain("the page");
    expect(page.text).toContain('content="{&quot;model&quot;:&quot;\\&quot;a&amp;b\\&quot;.onnx&quot;}"');
  });

  test("answers a call of its own page", async () => {
    const { port, path, call } = await visit();
    expect(JSON.parse((await send(port, `${path}calls/make`, call)).text)).toEqual({ value: ["make", "[]"] });
  });

  test.each([
    ["another host, against DNS rebinding", { host: "attacker.example" }],
    ["localhost instead of the printed host", { host: "localhost" }],
    ["another origin", { origin: "http://attacker.example" }],
    ["another port of the same host as its origin", { origin: "http://127.0.0.1:1" }],
    ["no origin", { origin: undefined }],
    ["no cookie", { cookie: undefined }],
    ["a wrong cookie", { cookie: "pith-studio=guess" }],
  ])("refuses a call with %s", async (_, changed) => {
    const { port, path, call } = await visit();
    const changedHeaders = Object.entries({ ...call.headers, ...changed }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    const { status, text } = await send(port, `${path}calls/make`, {
      ...call,
      headers: Object.fromEntries(changedHeaders),
    });
    expect(status).toBe(403);
    expect(text).not.toContain("value");
  });

  test("sends the security headers with every answer, and never permits another origin", async () => {
    const { port, path, call } = await visit();
    const answers = [await send(port, "/"), await send(port, path, call), await send(port, `${path}calls/make`, call)];
    for (const { headers } of answers) {
      expect(headers).toMatchObject({
        "content-security-policy": expect.stringMatching(/^default-src 'self'(?!.*unsafe)/),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
      });
      expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });

  test.each(["../secret", "..%2fsecret", "%2e%2e/secret", "index.html/../../secret", "session.js"])(
    "does not send the file %s",
    async (name) => {
      const { port, path, call } = await visit();
      const { status, text } = await send(port, path + name, { headers: { cookie: call.headers.cookie } });
      expect(status).toBe(403);
      expect(text).not.toBe("secret");
    },
  );

  test.each(["../secret", "..%2f..%2fsecret", "a/%2e%2e/%2e%2e/secret", "%5c..%5csecret", "", "a%00b"])(
    "does not store an upload as %j",
    async (name) => {
      const { folder, port, path, call } = await visit();
      const { text } = await send(port, `${path}files/${name}`, { ...call, method: "PUT", body: "changed" });
      expect(JSON.parse(text).failure).toMatchObject({ code: "E_FILE" });
      expect(readFileSync(join(folder, "secret"), "utf8")).toBe("secret");
    },
  );

  test("stores an upload under its path in the chosen folder", async () => {
    const { uploads, port, path, call } = await visit();
    await send(port, `${path}files/photos/a%20cat/1.jpg`, { ...call, method: "PUT", body: "pixels" });
    expect(readFileSync(join(uploads, "photos/a cat/1.jpg"), "utf8")).toBe("pixels");
    expect(existsSync(join(uploads, "photos/a%20cat"))).toBe(false);
  });

  test("reports a file that cannot be stored, and a call that is too long, and keeps the connection", async () => {
    const { uploads, port, path, call } = await visit();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set<unknown>();
    const sendAgain = (to: string, method: string, body: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const options = { host: "127.0.0.1", port, path: path + to, method, headers: call.headers, agent };
        const sent = request(options, async (response) => {
          let text = "";
          for await (const chunk of response) text += chunk;
          resolve(text);
        });
        sent.on("socket", (socket) => sockets.add(socket));
        sent.on("error", reject).end(body);
      });
    const content = "pixels".repeat(100_000);
    expect(await sendAgain("files/cat.jpg", "PUT", content)).toBe("");
    for (const name of ["a".repeat(300), ".candidates", "cat.jpg/1.jpg", "%zz", "%00", ""]) {
      const text = await sendAgain(`files/${name}`, "PUT", content);
      expect([name, JSON.parse(text).failure]).toMatchObject([name, { code: "E_FILE" }]);
    }
    const failure = { code: "E_OPTION", message: expect.stringContaining("A call has more than") };
    expect(JSON.parse(await sendAgain("calls/make", "POST", "a".repeat(2 ** 26 + 1)))).toMatchObject({ failure });
    expect(await sendAgain("calls/make", "POST", "[]")).toContain("make");
    expect(readFileSync(join(uploads, "cat.jpg"), "utf8")).toBe(content);
    expect(sockets.size).toBe(1);
    agent.destroy();
  });

  test("describes a crash of the computation as a failure", async () => {
    const { port, path, call } = await visit();
    const { text } = await send(port, `${path}calls/crash`, call);
    expect(JSON.parse(text).failure).toMatchObject({
      message: "The computation: its process crashed.",
      hint: expect.stringContaining("Finished candidates are kept."),
      isCrash: true,
    });
  });

  test("listens on the loopback address only", async () => {
    const { port } = await serve();
    const other = Object.values(networkInterfaces())
      .flat()
      .find((each) => each?.internal === false && each.family === "IPv4")?.address;
    // Linux answers for the whole block 127.0.0.0/8, unless a server listens on one address only.
    const addresses = process.platform === "linux" ? ["127.0.0.2"] : [];
    for (const address of [...addresses, ...(other === undefined ? [] : [other])])
      await expect(send(port, "/", {}, address), address).rejects.toThrow(/ECONNREFUSED/);
  });
});
