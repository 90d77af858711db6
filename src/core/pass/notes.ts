/**
 * Exporter metadata (stack traces, classes, folded tensors) that no runtime reads. It can be the largest part of a small file.
 *      "pkg.torch.onnx.stack_trace": 'File "model.py", line 26, in forward …'     →     (removed)
 * Names of layers and everything that a user can have written stay: metadata of the model, other keys and texts.
 */
import { scopesKey } from "../analysis/layer-names.ts";
import { allGraphs, type Carried, describe } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { functionWithout } from "../onnx/functions.ts";

const notes = /^(pkg\.(torch|onnxscript)\..*|namespace)$/;

/** A stack trace, which older PyTorch exporters wrote as the documentation of nodes. */
const trace = /\.py\(\d+\): |^\s*File ".*", line \d+/m;

const isNote = {
  key: (key: string) => notes.test(key) && key !== scopesKey,
  doc: (text: string) => trace.test(text),
};

/** Removes exporter metadata from nodes, values, graphs and functions; returns the names of the changed ones. */
export function clearNotes(model: Model): readonly string[] {
  const cleared: string[] = [];
  const clear = (at: string, carried: Carried): void => {
    const { metadata } = carried;
    const hasNotes = metadata.size > 0 && [...metadata.keys()].some(isNote.key);
    const hasTrace = carried.doc !== undefined && isNote.doc(carried.doc);
    if (!hasNotes && !hasTrace) return;
    if (hasNotes) carried.metadata = new Map([...metadata].filter(([key]) => !isNote.key(key)));
    if (hasTrace) carried.doc = undefined;
    cleared.push(at);
  };
  const { header } = model;
  const functions = header.functions.map((message) => functionWithout(message, isNote));
  if (functions.some((message, index) => message !== header.functions[index])) {
    header.functions = functions;
    cleared.push("the functions of the model");
  }
  for (const key of [...header.metadata.keys()].filter((key) => key.startsWith("pkg.") && isNote.key(key))) {
    header.metadata.delete(key);
    cleared.push("the model");
  }
  for (const graph of allGraphs(model.graph)) {
    clear(graph.name, graph);
    for (const node of graph.nodes()) clear(describe(node), node);
    for (const value of graph.values()) clear(value.name, value);
  }
  return cleared;
}
