/**
 * Removes exporter metadata that no runtime reads, such as stack traces, classes and folded tensors. It can be the largest part of a small file:
 *      "pkg.torch.onnx.stack_trace": 'File "model.py", line 26, in forward …'     →     (removed)
 * Keeps the names of layers, and everything that users can have written: metadata of the model, other keys and texts.
 */

import { allGraphs, type Carried, describe, type Model } from "#graph";
import { scopesKey } from "../analysis/layer-names.ts";
import { functionWithout } from "../onnx/functions.ts";

const notes = /^(pkg\.(torch|onnxscript)\..*|namespace)$/;

/** Matches a stack trace, which older PyTorch exporters wrote into the documentation of nodes. */
const trace = /\.py\(\d+\): |^\s*File ".*", line \d+/m;

/** Returns whether metadata under this key was written by an exporter, and names no layer. */
export const isExporterKey = (key: string): boolean => notes.test(key) && key !== scopesKey;

const isExporterText = { key: isExporterKey, doc: (text: string) => trace.test(text) };

/** Removes exporter metadata from nodes, values, graphs and functions. Returns the names of the changed elements. */
export function clearNotes(model: Model): readonly string[] {
  const cleared: string[] = [];
  const clear = (at: string, carried: Carried): void => {
    const { metadata } = carried;
    const hasNotes = metadata.size > 0 && [...metadata.keys()].some(isExporterText.key);
    const hasTrace = carried.doc !== undefined && isExporterText.doc(carried.doc);
    if (!hasNotes && !hasTrace) return;
    if (hasNotes) carried.metadata = new Map([...metadata].filter(([key]) => !isExporterText.key(key)));
    if (hasTrace) carried.doc = undefined;
    cleared.push(at);
  };
  const { header } = model;
  const functions = header.functions.map((message) => functionWithout(message, isExporterText));
  if (functions.some((message, index) => message !== header.functions[index])) {
    header.functions = functions;
    cleared.push("the functions of the model");
  }
  for (const key of [...header.metadata.keys()].filter((key) => key.startsWith("pkg.") && isExporterText.key(key))) {
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
