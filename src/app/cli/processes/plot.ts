import { basename } from "node:path";
import type * as v from "valibot";
import { infer } from "#analysis";
import { bytesOfText, type Model } from "#ir";
import { writeFileAtomically } from "#platform";
import { bytes } from "../../../core/numbers.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { plotPage } from "../../report/plot/plot.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/plot.ts";
import { besideInput, exists, requireOther, requireOtherThanWeights, requireOwnPage } from "../files/files.ts";
import { requireWritable } from "../files/writable.ts";
import { openModel } from "../job-parts/open-model.ts";

type Options = v.InferOutput<typeof options>;

export default async function plot(
  [path = ""]: readonly string[],
  { out: outFlag, original }: Options,
  session: ProcessSession,
): Promise<Result> {
  const out = outFlag ?? besideInput(session.folders.get(path) ?? path, ".html");
  await requireOther(out, [
    ["the model itself", path],
    ["the original", original],
  ]);
  if (outFlag === undefined) await requireOwnPage(out);
  await requireWritable(out);
  const replaced = await exists(out);
  const openPlotted = async (file: string): Promise<Model> => {
    const model = await openModel(file, session);
    await requireOtherThanWeights(out, model, file);
    storeWeights(model);
    return model;
  };
  const model = await openPlotted(path);
  const compared =
    original === undefined ? {} : { original: { name: basename(original), model: await openPlotted(original) } };
  session.stage("read");
  const html = bytesOfText(await plotPage(model, infer(model), { name: basename(path), ...compared, ...session }));
  session.writes([out]);
  await writeFileAtomically(out, [html]);
  const size = html.byteLength;
  return {
    data: { model: path, original, written: out, replaced, bytes: size },
    print: ({ line, color }) => line(`written: ${color.bold(out)} (${bytes(size)})${replaced ? " (replaced)" : ""}`),
  };
}
