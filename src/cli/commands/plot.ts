/** `pith plot`: the graph as a picture in a page of its own, without scripts. */
import { basename } from "node:path";
import * as v from "valibot";
import { writeFileAtomically } from "#platform";
import { open } from "../../onnx/index.ts";
import { defineCommand } from "../command.ts";
import { requireWritable } from "../files.ts";
import { bytes } from "../numbers.ts";
import { picture } from "../plot/picture.ts";

export default defineCommand({
  name: "plot",
  summary: "the graph as a picture, weights shaded by their size",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    out: v.optional(
      v.pipe(
        v.string(),
        v.description("file to write (default: model.html)"),
        v.metadata({ short: "-o", value: "model.html" }),
      ),
    ),
  }),
  examples: ["plot model.onnx -o model.html"],
  async run([model = ""], { out = model.replace(/(\.onnx)?$/i, ".html") }) {
    await requireWritable(out);
    const html = new TextEncoder().encode(picture(await open(model), basename(model)));
    await writeFileAtomically(out, [html]);
    return {
      data: { model, written: out, bytes: html.byteLength },
      print: (terminal) => terminal.line(`written: ${terminal.color.bold(out)} (${bytes(html.byteLength)})`),
    };
  },
});
