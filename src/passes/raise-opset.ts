/**
 * Writing a model in a newer operator set.
 *
 * A node may stay as it is if its entry reads the same settings under both versions and the new schema accepts its form. That is the case
 * for most operators between any two versions, and no operator needs to be named here to find out.
 */
import { infer } from "../analysis/infer.ts";
import { Miss, PithError } from "../errors.ts";
import { allGraphs, describe, type Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { checkForm, schemaAt } from "../graph/schema.ts";
import { operators } from "../ops/index.ts";

/** IR version that goes with the operator sets from here on: ONNX Runtime refuses newer sets in files of an older IR. */
const irVersionFor = (opset: number): number =>
  opset >= 25 ? 13 : opset >= 23 ? 11 : opset >= 21 ? 10 : opset >= 19 ? 9 : 8;

/**
 * Raises the default operator set to at least `version`, in place.
 * @throws PithError E_UNSUPPORTED naming the first node that would change its meaning or form.
 */
export function raiseOpset(model: Model, version: number): void {
  const from = model.opsets.get("") ?? model.opsets.get("ai.onnx") ?? 1;
  if (from >= version) return;
  const inference = infer(model);
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes()) {
      const reason = node.domain === "" ? whyNot(node, from, version, inference) : undefined;
      if (reason === undefined) continue;
      throw new PithError(
        "E_UNSUPPORTED",
        `${describe(node)} cannot be carried from opset ${from} to ${version}: ${reason}.`,
        {
          hint: `Export the model with opset ${version} or newer.`,
        },
      );
    }
  }
  model.header.opsets.set("", version);
  model.header.opsets.delete("ai.onnx");
  model.header.irVersion = Math.max(model.header.irVersion, irVersionFor(version));
}

function whyNot(node: Node, from: number, to: number, inference: ReturnType<typeof infer>): string | undefined {
  const [before, after] = [schemaAt("", node.op, from), schemaAt("", node.op, to)];
  if (before !== undefined && before.since === after?.since) return undefined;
  const form = checkForm("", node.op, to, {
    inputs: node.inputs,
    outputs: node.outputs,
    attributes: node.attributes.keys(),
  });
  if (form instanceof Miss) return form.reason;
  const op = operators.find("", node.op);
  if (op === undefined) return "Pith has no entry for it";
  const site = inference.site(node);
  const [old, now] = [op.settings(site), op.settings({ ...site, version: to })];
  if (old instanceof Miss) return old.reason;
  if (now instanceof Miss) return now.reason;
  return sameSettings(old, now) ? undefined : "its defaults changed meaning";
}

function sameSettings(a: unknown, b: unknown): boolean {
  return JSON.stringify(a, plain) === JSON.stringify(b, plain);
}

/** Settings are plain data; typed arrays and bigints are spelled out. */
function plain(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return `${value}n`;
  return ArrayBuffer.isView(value) ? Array.from(value as Uint8Array, String) : value;
}
