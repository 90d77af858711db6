/** The session of `pith studio` reads and writes only files of its folder. */
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { save } from "pith";
import { linear, network } from "pith/nn";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Calls } from "../backend/backend.ts";
import type { Reply } from "../backend/messages.ts";
import { createAnswerer } from "./answer.ts";
import { createLocalSession } from "./local.ts";

const [folder, outside] = [temporaryFolder(), temporaryFolder()];
const secret = join(outside, "secret.onnx");
const model = join(outside, "model.onnx");

beforeAll(async () => {
  const layers = network([linear(4, 8)], { input: ["batch", 4], seed: 1 });
  for (const path of [secret, model, join(folder, "rows.onnx")]) await save(layers, path);
  writeFileSync(join(outside, "rows.csv"), "a,b,c,d\n1,2,3,4\n");
  for (const name of [".candidates", "photos"]) mkdirSync(join(folder, name));
  symlinkSync(secret, join(folder, "link.onnx"));
  symlinkSync(join(outside, "new.csv"), join(folder, "dangling.csv"));
  symlinkSync(outside, join(folder, "linked"));
  symlinkSync(join(outside, "rows.csv"), join(folder, "photos", "rows.csv"));
});

const session = createLocalSession(folder, [model]);
let onReply: (reply: Reply) => void = () => {};
const answer = createAnswerer(session, (reply) => onReply(reply), "");

/** Calls the session, and returns its last reply. */
const call = (name: string, parameters: readonly unknown[]): Promise<Reply> =>
  new Promise((resolve) => {
    onReply = (reply) => ("progress" in reply ? undefined : resolve(reply));
    answer({ id: 1, name: name as keyof Calls, parameters });
  });

const subject = { model, samples: undefined };
const request = (...steps: object[]) => ({ id: "a", name: "a", made: { version: 1, steps }, maxDrop: 0.01 });

/** Parameters of each call with a path at each place that can have one. */
const examples: { readonly [K in keyof Calls]: (path: string) => readonly (readonly unknown[])[] } = {
  addFiles: (path) => [[[[path, new Blob()]]]],
  openModel: (path) => [[path]],
  graph: (path) => [[{ ...subject, model: path }]],
  openSamples: (path) => [
    [path, { data: "rows.csv" }],
    [model, { data: path }],
  ],
  time: (path) => [
    [{ ...subject, model: path }, { storedAt: "a.onnx" }],
    [subject, { storedAt: path }],
  ],
  make: (path) => [
    [{ ...subject, model: path }, request({ quantize: { scheme: "float16" } })],
    [{ ...subject, samples: { data: path } }, request({ quantize: { scheme: "float16" } })],
    ...[
      { train: { log: path } },
      { distill: { teacher: path } },
      { distill: { otherTeachers: ["rows.onnx", path] } },
      { recover: { original: path } },
      { repeat: 2, steps: [{ train: { log: path } }, { prune: { amount: 0.1 } }] },
    ].map((step) => [subject, request(step)]),
  ],
  layerErrors: (path) => [
    [{ ...subject, model: path }, { storedAt: "rows.onnx" }],
    [subject, { storedAt: path }],
  ],
  timeOnGpu: (path) => [
    [{ ...subject, model: path }, { storedAt: "rows.onnx" }],
    [subject, { storedAt: path }],
    [subject, path],
  ],
  downloadSizes: (path) => [[path], [{ storedAt: path }]],
  downloadRates: (path) => [[path]],
  smallestDownload: (path) => [[{ ...subject, model: path }], [{ ...subject, samples: { data: path } }]],
  brotli: (path) => [[{ storedAt: path }]],
  report: () => [],
};

const paths: readonly (readonly [kind: string, path: string])[] = [
  ["an absolute path", secret],
  ["an absolute path with two slashes", `/${secret}`],
  ["a file URL", pathToFileURL(secret).href],
  ["a file URL in capitals", pathToFileURL(secret).href.replace("file", "FILE")],
  ["a path that leads out", relative(folder, secret)],
  ["a path that leads out of a folder in it", `photos/../../${relative(join(folder, ".."), secret)}`],
  ["a path that leads out on Windows", `.. /${relative(join(folder, ".."), secret)}`],
  ["an address without a host that leads out", `http:/..${relative(folder, secret)}`],
  ["an address that leads out", `http://a/../../${relative(folder, secret)}`],
  ["a path of Windows", "C:\\secret.onnx"],
  ["a share of Windows", "\\\\host\\secret.onnx"],
  ["a link", "link.onnx"],
  ["a link without a target", "dangling.csv"],
  ["a path through a link", "linked/secret.onnx"],
  ["a folder with a link", "photos"],
  ["a name of 300 characters", `${"a".repeat(300)}.onnx`],
  ["a NUL", "a\0.onnx"],
  ["the folder of the candidates", ".candidates"],
  ["no characters", ""],
];

describe.each(paths)("the path %#, %s,", (_, path) => {
  test.each(Object.keys(session) as (keyof Calls)[])("is an error in each place of the call %s", async (name) => {
    const before = readdirSync(outside);
    for (const parameters of examples[name](path)) {
      const reply = await call(name, parameters);
      const code = "failure" in reply ? reply.failure.code : "none";
      expect([parameters, code]).toEqual([parameters, expect.stringMatching(/^E_/)]);
    }
    expect(readdirSync(outside)).toEqual(before);
  });
});

test("the session opens the model of the command line after errors, and rejects parameters that a call does not have", async () => {
  for (const name of Object.keys(session).filter((each) => each !== "report"))
    for (const parameters of [[], [null, null], [{ model: 3 }, { storedAt: 3 }]])
      expect(await call(name, parameters)).toMatchObject({ failure: { code: expect.stringMatching(/^E_/) } });
  expect(await call("openModel", [model])).toMatchObject({ value: { name: "model.onnx" } });
});

test("rejects calls that do not exist", async () => {
  for (const name of ["none", "constructor", "__proto__"])
    expect(await call(name, [])).toMatchObject({ failure: { code: "E_OPTION", message: `"${name}" is not a call.` } });
});

test("does not run code, however its name is written", async () => {
  for (const name of ["rows.mjs", "rows.MJS", "rows.mjs/."])
    expect(await call("openSamples", [model, { data: name }])).toMatchObject({ failure: { code: "E_UNSUPPORTED" } });
});
