/** Draws the graph of a model as an SVG image, with its original if one is given. */
import type * as v from "valibot";
import { bytes, bytesOfText, type Model } from "#ir";
import { writeFileAtomically } from "#platform";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { pictureOfGraph } from "../../report/graph/draw-graph.ts";
import type { ProcessSession, Result } from "../command.ts";
import type { options } from "../commands/plot.ts";
import { exists, pathNextTo, requireNotInput, requireNotWeights } from "../files/file-paths.ts";
import { requireWritable } from "../files/writable.ts";
import { openModel } from "../jobs/parts/open-model.ts";

export default async function plot(
  [path = ""]: readonly string[],
  { out: outFlag, original }: v.InferOutput<typeof options>,
  session: ProcessSession,
): Promise<Result> {
  const out = outFlag ?? pathNextTo(session.namedFolders.get(path) ?? path, ".svg");
  await requireNotInput(out, [
    ["the model itself", path],
    ["the original", original],
  ]);
  await requireWritable(out);
  const replaced = await exists(out);
  const openDrawn = async (file: string): Promise<Model> => {
    const model = await openModel(file, session);
    await requireNotWeights(out, model, file);
    storeWeights(model);
    return model;
  };
  const picture = bytesOfText(
    pictureOfGraph(await openDrawn(path), original === undefined ? undefined : await openDrawn(original)),
  );
  session.writes([out]);
  await writeFileAtomically(out, [picture]);
  return {
    json: { model: path, original, written: out, replaced, bytes: picture.byteLength },
    print(terminal) {
      const size = bytes(picture.byteLength);
      terminal.line(`written: ${terminal.color.bold(out)} (${size})${replaced ? " (replaced)" : ""}`);
      terminal.line(`next: open ${out} in a browser`);
    },
  };
}
