/** Removes exporter metadata that no runtime reads, such as stack traces and classes. */

import { allGraphs, type Carried, type Model, nodeText } from "#graph";
import { scopesKey } from "../analysis/layer-names.ts";
import { functionWithout } from "../onnx/functions.ts";

const exporterKeys = /^(pkg\.(torch|onnxscript)\..*|namespace)$/;
/** Matches a stack trace, which older PyTorch exporters wrote into the documentation of nodes. */
const stackTrace = /\.py\(\d+\): |^\s*File ".*", line \d+/m;

/** Returns whether metadata under this key was written by an exporter, and names no layer. */
export const isExporterKey = (key: string): boolean => exporterKeys.test(key) && key !== scopesKey;
const isExporterText = { key: isExporterKey, doc: (text: string) => stackTrace.test(text) };

/** Returns the names of the changed elements. */
export function removeExporterMetadata(model: Model): readonly string[] {
  return Array.from(findMetadata(model), ({ at, clear: clearTexts }) => {
    clearTexts();
    return at;
  });
}

export const hasExporterMetadata = (model: Model): boolean => findMetadata(model).next().done !== true;

function* findMetadata({ header, graph: main }: Model): Generator<{ readonly at: string; readonly clear: () => void }> {
  const functions = header.functions.map((message) => functionWithout(message, isExporterText));
  if (functions.some((message, index) => message !== header.functions[index]))
    yield { at: "the functions of the model", clear: () => Object.assign(header, { functions }) };
  for (const key of [...header.metadata.keys()].filter((key) => key.startsWith("pkg.") && isExporterText.key(key)))
    yield { at: "the model", clear: () => header.metadata.delete(key) };
  for (const graph of allGraphs(main)) {
    if (hasExporterText(graph)) yield { at: graph.name, clear: () => clear(graph) };
    for (const node of graph.nodes()) if (hasExporterText(node)) yield { at: nodeText(node), clear: () => clear(node) };
    for (const value of graph.values()) if (hasExporterText(value)) yield { at: value.name, clear: () => clear(value) };
  }
}

const hasTrace = ({ doc }: Carried): boolean => doc !== undefined && isExporterText.doc(doc);
const hasExporterText = (element: Carried): boolean =>
  (element.metadata.size > 0 && [...element.metadata.keys()].some(isExporterText.key)) || hasTrace(element);

function clear(element: Carried): void {
  if (hasTrace(element)) element.doc = undefined;
  element.metadata = new Map([...element.metadata].filter(([key]) => !isExporterText.key(key)));
}
