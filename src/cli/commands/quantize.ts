/** `pith quantize`: the pass on a file, or, on a folder as transformers.js lays it out, every variant that is asked for. */
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import * as v from "valibot";
import { moduleOf } from "#root";
import { capitalized, PithError } from "../../errors.ts";
import {
  answersText,
  basesIn,
  batchText,
  type FolderFile,
  mainOf,
  quantizeFolder,
  type Variant,
} from "../../folder/index.ts";
import { dtypeNames } from "../../quantize/dtypes.ts";
import { quantize } from "../../quantize/index.ts";
import { defineCommand, type Result, type Session } from "../command.ts";
import { dataRequest } from "../data.ts";
import { withoutLeftovers } from "../files.ts";
import type endToEndJob from "../jobs/end-to-end.ts";
import type passJob from "../jobs/pass.ts";
import { modelAt } from "../model-folder.ts";
import { bytes } from "../numbers.ts";
import { flag } from "../options.ts";
import { requireWritableFolder } from "../writable.ts";
import { measuredText, passCommand } from "./pass.ts";

const single = passCommand(quantize);

const options = v.object({
  ...single.options.entries,
  dtype: v.optional(
    flag(v.array(v.picklist([...dtypeNames, "all"])), "variant for transformers.js; folders: several", {
      value: "dtype",
    }),
  ),
  text: v.optional(
    flag(v.array(v.string()), "lines to try the result on, or a file of them: --data without a file", {
      value: "line",
    }),
  ),
  chunk: v.optional(
    flag(
      v.pipe(v.string(), v.regex(/^\d+(\.\d+)?\s*[kMG]B$/i, "takes a size such as 24MB")),
      "of a folder: bytes of a file, at most; what is larger has its weights in several beside it",
      { value: "24MB" },
    ),
  ),
});

type Options = v.InferOutput<typeof options>;

/** The lines of `--text` lie in a file, as data does. */
interface Given extends Omit<Options, "text"> {
  readonly isText?: boolean;
}

export default defineCommand({
  ...single,
  arguments: [{ name: "model.onnx", description: "the model, or its folder as transformers.js lays it out" }],
  options,
  reserved: [...(single.reserved ?? []), "dtype"],
  examples: [...single.examples, "quantize minilm/ --dtype q8,q4,fp16 --chunk 24MB -o minilm.web/"],
  folders: ({ dtype }) => dtype !== undefined,
  async run(paths, { text, ...given }: Options, session) {
    if (text === undefined) return chosen(paths, given, session);
    if (given.data !== undefined) throw new PithError("E_USAGE", "Give one of --text and --data.");
    const [first = ""] = text;
    if (text.length === 1 && (await stat(first).catch(() => undefined))?.isFile() === true)
      return chosen(paths, { ...given, data: first, isText: true }, session);
    const folder = await mkdtemp(join(tmpdir(), "pith-text-"));
    try {
      const data = join(folder, "texts.txt");
      await writeFile(data, `${text.join("\n")}\n`);
      return await chosen(paths, { ...given, data, isText: true }, session);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

async function chosen(
  [path = ""]: readonly string[],
  { dtype, chunk, isText = false, ...rest }: Given,
  session: Session,
): Promise<Result> {
  const isFolder = (await stat(join(path, "onnx")).catch(() => undefined))?.isDirectory() === true;
  if (dtype !== undefined && isFolder) return ofFolder(path, { dtype, chunk, isText, ...rest }, session);
  if (chunk !== undefined || dtype?.includes("all") === true || (dtype?.length ?? 1) > 1) {
    throw new PithError("E_USAGE", "Several variants, and --chunk, are for a folder that holds models in onnx/.", {
      hint: "For instance pith quantize minilm/ --dtype q8,q4.",
    });
  }
  const model = await modelAt(path, (file) => session.terminal.note("model", `a folder: the model in it is ${file}`));
  const passed = dtype === undefined ? session.passed : { ...session.passed, dtype: dtype[0] };
  return single.run([model], rest, { ...session, passed });
}

async function ofFolder(folder: string, given: Given, session: Session): Promise<Result> {
  const {
    dtype = [],
    chunk,
    out = `${folder.replace(/[/\\]+$/, "")}.quantized`,
    maxDrop,
    strict = false,
    isText = false,
  } = given;
  if (session.passed.scheme !== undefined) throw new PithError("E_OPTION", "Give exactly one of --scheme and --dtype.");
  if (given.dryRun === true) throw new PithError("E_USAGE", "--dry-run is for a single model.");
  await requireWritableFolder(join(out, "onnx"), ["model.onnx"]);
  const data = dataRequest(given);
  const { metric, output, force = false } = given;
  // Samples are for a model that answers alone; of several each is compared on random inputs, and all together on the texts.
  const bases = basesIn(await readdir(join(folder, "onnx")));
  const samples = mainOf(bases).isAlone && !isText ? data : undefined;
  const settings = { options: session.passed, data: samples, metric, output, maxDrop, strict, force, dryRun: false };
  const make = async ({ source, out: file, dtype: name, fileBytes }: Variant) => {
    const input = {
      ...{ command: "quantize", model: source, out: file, fileBytes, seed: session.seed },
      ...settings,
      options: { ...session.passed, dtype: name },
    };
    const module = moduleOf("cli/jobs/pass");
    const work = () => session.job<typeof passJob>(module, input, `quantize ${source} to ${name}`);
    const result = await withoutLeftovers(file, work);
    const { after, idle, written } = result;
    if (after === undefined || written === undefined)
      throw new PithError("E_UNSUPPORTED", `${capitalized(idle ?? "nothing changed")}.`);
    return { bytes: after.bytes, brotli: after.brotli, measured: measuredText(result) };
  };
  const files = await quantizeFolder(
    folder,
    {
      dtypes: dtype.includes("all") ? "all" : dtype.filter((name) => name !== "all"),
      out,
      fileBytes: chunk === undefined ? undefined : bytesOf(chunk),
      settings: { ...settings, version: session.version },
      make,
      together:
        data === undefined
          ? undefined
          : (modules) =>
              session.job<typeof endToEndJob>(
                moduleOf("cli/jobs/end-to-end"),
                { folder, modules, data, isText, seed: session.seed },
                `try ${modules.map(({ result }) => basename(result)).join(", ")}`,
              ),
    },
    { seed: session.seed, signal: session.signal },
  );
  return show(out, files);
}

function show(out: string, files: readonly FolderFile[]): Result {
  return {
    data: { out, files },
    goalMissed: files.some(({ verdict }) => verdict === "refused"),
    print(terminal) {
      const tried = files.some(({ together }) => answersText(together) !== "");
      const batched = files.some(({ together }) => together?.batch !== undefined);
      terminal.table(
        [
          { title: "dtype" },
          { title: "file" },
          { title: "bytes", align: "right" },
          { title: "brotli", align: "right" },
          { title: "beside the original" },
          ...(tried ? [{ title: "on texts, as the original" }] : []),
          ...(batched ? [{ title: "alone = in batch" }] : []),
          { title: "" },
        ],
        files.map(({ dtype, file, bytes: weight, brotli, measured = "", together, verdict, reason }) => [
          dtype,
          file,
          weight === undefined ? "" : bytes(weight),
          brotli === undefined ? "" : bytes(brotli),
          measured,
          ...(tried ? [answersText(together)] : []),
          ...(batched ? [batchText(together)] : []),
          verdict === "there" ? "there already" : verdict === "refused" ? `refused: ${reason ?? ""}` : verdict,
        ]),
      );
      terminal.line(`written: ${terminal.color.bold(out)}`);
    },
  };
}

/** "24MB": as hosts count, a megabyte is a million. */
function bytesOf(text: string): number {
  const [, number = "", unit = ""] = /^([\d.]+)\s*([kMG])B$/i.exec(text) ?? [];
  return Number(number) * { k: 1e3, m: 1e6, g: 1e9 }[unit.toLowerCase() as "k" | "m" | "g"];
}
