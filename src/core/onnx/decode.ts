/** Reads models (ModelProto, GraphProto), as graphs with tensors that are read on demand. */
import type { ByteSource, Graph, ModelHeader, Node, Value } from "#graph";
import { defaultDomain, Model, modelError, PithError, usedValues } from "#graph";
import { readAttribute } from "./attribute.ts";
import { ExternalFiles, type OpenExternal } from "./external.ts";
import { graphFields, modelFields, nodeFields, sparseFields } from "./field-numbers.ts";
import {
  eachVarint,
  type Field,
  fieldText,
  isLoaded,
  joinCarried,
  lastVarint,
  payload,
  splitFields,
} from "./fields.ts";
import { readFunctions } from "./functions.ts";
import { LazyFile } from "./lazy-file.ts";
import { readMetadata, readOpset } from "./metadata.ts";
import type { Reading } from "./reading.ts";
import { readTensor } from "./tensor.ts";
import { readValueInfo, UnknownDims, type ValueInfo } from "./value-info.ts";
import { FieldPastEndError, malformedError } from "./wire.ts";

/** Real models nest three or four subgraphs. */
const depthLimit = 100;

/** Reads a model. Large weights are read later, from the source. @throws PithError E_NOT_ONNX, E_MODEL, E_UNSUPPORTED, E_FILE */
export async function decodeModel(
  source: ByteSource,
  open: OpenExternal | undefined,
  warn: (text: string) => void = () => {},
): Promise<Model> {
  const reading: Reading = {
    file: new LazyFile(source),
    external: new ExternalFiles(open),
    unknownDims: new UnknownDims(),
    graph: (fields, graph, depth) => decodeGraph(reading, fields, graph, depth),
  };
  const fields = await fieldsOf(reading.file);
  const graphs = fields.filter((field) => field.number === modelFields.graph);
  const [graph] = graphs;
  if (graph === undefined) throw new PithError("E_NOT_ONNX", "it has no graph.", { hint: "Name the .onnx file." });
  if (graphs.length > 1) throw new PithError("E_NOT_ONNX", `it has ${graphs.length} graphs, and a model has one.`);
  const model = new Model(undefined, { irVersion: 0, producerName: "", opsets: new Map() });
  await readHeaderFields(reading, fields, model.header, warn);
  await decodeGraph(reading, await reading.file.fieldsInside(graph), model.graph, 0);
  model.functions = await readFunctions(model.header.functions, (file) => {
    const functionReading: Reading = {
      ...reading,
      file,
      graph: (fields, inner, depth) => decodeGraph(functionReading, fields, inner, depth),
    };
    return functionReading;
  });
  return model;
}

/** The last field of a truncated file extends beyond its end. */
export class TruncatedFileError extends PithError {
  constructor(bytes: number, min: number) {
    const [available, minimum] = [bytes, min].map((number) => number.toLocaleString("en"));
    super("E_NOT_ONNX", `the file is cut off after ${available} of at least ${minimum} bytes.`, {
      hint: "Copy or download it again.",
    });
  }
}

async function fieldsOf(file: LazyFile): Promise<Field[]> {
  const { size } = file.source;
  try {
    return await file.fields(0, size);
  } catch (error) {
    // A truncated model has a field number of ModelProto here.
    if (error instanceof FieldPastEndError && modelFieldNumbers.has(error.number))
      throw new TruncatedFileError(size, error.end);
    throw error;
  }
}

const modelFieldNumbers: ReadonlySet<number> = new Set(Object.values(modelFields));

async function readHeaderFields(
  reading: Reading,
  fields: readonly Field[],
  header: ModelHeader,
  warn: (text: string) => void,
): Promise<void> {
  const metadata: Field[] = [];
  const functions: Uint8Array[] = [];
  const unknown: Field[] = [];
  for (const unloadedField of fields) {
    if (unloadedField.number === modelFields.graph) continue;
    const field = await reading.file.load(unloadedField);
    switch (field.number) {
      case modelFields.irVersion:
        header.irVersion = Number(lastVarint(field));
        break;
      case modelFields.modelVersion:
        header.modelVersion = lastVarint(field);
        break;
      case modelFields.opsetImport: {
        const [domain, version] = readOpset(field);
        const otherVersion = header.opsets.get(domain);
        if (otherVersion !== undefined && otherVersion !== version) {
          const name = domain === "" ? "ai.onnx" : domain;
          warn(
            `operator set ${name} is imported twice: ${version}, the last, counts, as in ONNX Runtime, not ${otherVersion}`,
          );
        }
        header.opsets.set(domain, version);
        break;
      }
      case modelFields.metadata:
        metadata.push(field);
        break;
      case modelFields.functions:
        functions.push(payload(field));
        break;
      default: {
        const text = headerTexts.find((name) => modelFields[name] === field.number);
        if (text === undefined) unknown.push(field);
        else header[text] = fieldText(field);
      }
    }
    // The writer omits fields with default values, so stated defaults are kept as bytes.
    if (containsDefault(field) || field.number === modelFields.opsetImport) unknown.push(field);
  }
  // Before IR version 3, there was a single opset, which files did not state.
  if (header.opsets.size === 0 && header.irVersion >= 3) {
    throw modelError("its operator set is missing (opset_import).", {
      hint: "Set it where the model is made, onnx.helper.make_model(graph, opset_imports=[…]), or export it again.",
    });
  }
  for (const [key, text] of readMetadata(metadata)[0]) header.metadata.set(key, text);
  header.functions = functions;
  header.unknown = joinCarried(unknown);
}

const headerTexts = ["producerName", "producerVersion", "domain", "doc"] as const;
const fieldsWithDefaults = new Set<number>([...headerTexts, "modelVersion" as const].map((name) => modelFields[name]));

function containsDefault(field: Field): boolean {
  if (!fieldsWithDefaults.has(field.number)) return false;
  return field.wire === 0 ? lastVarint(field) === 0 : field.start === field.end;
}

async function decodeGraph(reading: Reading, fields: readonly Field[], graph: Graph, depth: number): Promise<void> {
  if (depth > depthLimit) throw modelError(`subgraphs are nested more than ${depthLimit} deep.`);
  const { file } = reading;
  const metadata: Field[] = [];
  const unknown: Field[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const declaredTypes: { readonly info: ValueInfo; readonly field: Field }[] = [];
  const nodes: ParsedNode[] = [];
  const readInfo = async (field: Field): Promise<ValueInfo> => {
    const loadedField = await file.load(field);
    const valueInfo = readValueInfo(payload(loadedField), loadedField.start, reading.unknownDims);
    file.count(1 + valueInfo.metadata.size + (valueInfo.type?.dims?.length ?? 0));
    return valueInfo;
  };
  for (const field of fields) {
    switch (field.number) {
      case graphFields.node:
        nodes.push(await readNode(file, field));
        break;
      case graphFields.name:
        graph.name = fieldText(await file.load(field));
        if (graph.name === "") unknown.push(field);
        break;
      case graphFields.initializer:
        await addInitializer(reading, field, graph);
        break;
      case graphFields.sparseInitializer:
        await addSparse(reading, field, graph);
        break;
      case graphFields.doc:
        graph.doc = fieldText(await file.load(field));
        break;
      case graphFields.input:
        inputs.push(await readInfo(field));
        break;
      case graphFields.output:
        outputs.push(await readInfo(field));
        break;
      case graphFields.valueInfo:
        declaredTypes.push({ info: await readInfo(field), field });
        break;
      case graphFields.metadata:
        metadata.push(await file.load(field));
        break;
      default:
        unknown.push(await file.load(field));
    }
  }
  [graph.metadata] = readMetadata(metadata);
  addInputs(graph, inputs);
  const outputNames = producedNames(graph, nodes);
  for (const { info, field } of declaredTypes) {
    const value = graph.ownValue(info.name) ?? (outputNames.has(info.name) ? graph.addValue(info.name) : undefined);
    if (value === undefined) {
      // Another tool removed the value but not its type, which is kept as bytes.
      unknown.push(await file.load(field));
      continue;
    }
    applyInfo(value, info);
    value.declared = true;
  }
  graph.unknown = joinCarried(unknown);
  // Creates all values before the nodes, because nodes can be unsorted and subgraphs read outer values.
  for (const name of outputNames) if (graph.ownValue(name) === undefined) graph.addValue(name);
  for (const node of nodes) await addNode(reading, node, graph, depth);
  graph.setOutputs(
    outputs.map((output) => {
      const value = graph.value(output.name);
      if (value === undefined) throw modelError(`graph "${graph.name}": nothing produces its output "${output.name}".`);
      if (value.graph === graph) applyInfo(value, output);
      return value;
    }),
  );
  if (!isSorted(graph)) graph.sort();
}

async function addInitializer(reading: Reading, field: Field, graph: Graph): Promise<void> {
  const { file } = reading;
  file.count(1);
  const readResult = await readTensor(file, await file.fieldsInside(field), reading.external, "tensor");
  const { name, tensor } = readResult;
  if (name === "") throw modelError(`graph "${graph.name}": a stored tensor has no name.`);
  if (graph.ownValue(name) !== undefined) throw duplicateError(graph, name);
  const value = graph.addValue(name, { type: tensor.type, dims: tensor.dims });
  value.tensor = tensor;
  value.doc = readResult.doc;
  value.unknown = readResult.unknown;
  [value.metadata, value.role] = readMetadata(readResult.metadata);
}

/** Adds a sparse weight, whose elements are kept as bytes. */
async function addSparse(reading: Reading, unloadedField: Field, graph: Graph): Promise<void> {
  const { file } = reading;
  const field = await file.load(unloadedField);
  const parts = splitFields(payload(field), field.start);
  const values = parts.find((part) => part.number === sparseFields.values);
  if (values === undefined) throw malformedError(field.from, "a sparse tensor has no values");
  const { name, tensor } = await readTensor(file, await file.fieldsInside(values), reading.external, "sparse tensor");
  if (name === "" || graph.ownValue(name) !== undefined) throw duplicateError(graph, name);
  const dims: number[] = [];
  for (const part of parts)
    if (part.number === sparseFields.dims) eachVarint(part, ({ signed }) => dims.push(Number(signed)));
  graph.addValue(name, { type: tensor.type, dims }).foreign = { sparse: payload(field) };
}

function addInputs(graph: Graph, infos: readonly ValueInfo[]): void {
  const names = new Set<string>();
  const inputs: Value[] = [];
  for (const info of infos) {
    if (info.name === "") throw modelError(`graph "${graph.name}": an input has no name.`);
    if (names.has(info.name)) throw duplicateError(graph, info.name);
    names.add(info.name);
    const value = graph.ownValue(info.name) ?? graph.addValue(info.name);
    applyInfo(value, info);
    inputs.push(value);
  }
  graph.setInputs(inputs);
}

function producedNames(graph: Graph, nodes: readonly ParsedNode[]): Set<string> {
  const names = new Set<string>();
  for (const node of nodes) {
    for (const name of node.outputs) {
      if (name === undefined) continue;
      if (names.has(name) || graph.ownValue(name) !== undefined) throw duplicateError(graph, name);
      names.add(name);
    }
  }
  return names;
}

function applyInfo(value: Value, info: ValueInfo): void {
  if (value.tensor !== undefined) {
    // The tensor's type takes precedence.
    const { dims } = value.tensor;
    const hasEqualType =
      info.type?.type === value.tensor.type &&
      info.type.dims?.length === dims.length &&
      info.type.dims.every((dim, axis) => dim === dims[axis]);
    if (hasEqualType) value.type = info.type;
    if (info.rest !== undefined) value.foreign = { ...value.foreign, info: info.rest };
    return;
  }
  if (info.type !== undefined) value.type = info.type;
  if (info.foreign !== undefined) value.foreign = { ...value.foreign, ...info.foreign };
  if (info.doc !== undefined) value.doc = info.doc;
  if (info.role !== undefined) value.role = info.role;
  if (info.unknown !== undefined) value.unknown = info.unknown;
  if (info.metadata.size > 0) value.metadata = new Map([...value.metadata, ...info.metadata]);
}

function isSorted(graph: Graph): boolean {
  const seen = new Set<Node>();
  for (const node of graph.nodes()) {
    for (const { producer } of usedValues(node)) {
      if (producer !== undefined && producer.graph === graph && !seen.has(producer)) return false;
    }
    seen.add(node);
  }
  return true;
}

function duplicateError(graph: Graph, name: string): PithError {
  return modelError(`graph "${graph.name}": "${name}" is defined twice.`);
}

interface ParsedNode {
  readonly op: string;
  readonly domain: string;
  readonly overload: string;
  readonly name: string;
  readonly inputs: readonly (string | undefined)[];
  readonly outputs: readonly (string | undefined)[];
  readonly attributes: readonly Field[];
  readonly metadata: readonly Field[];
  readonly doc: string | undefined;
  readonly unknown: Uint8Array | undefined;
  /** The offset in the file, for messages. */
  readonly from: number;
}

const nodeTexts = ["op", "name", "domain", "overload"] as const;

async function readNode(file: LazyFile, message: Field): Promise<ParsedNode> {
  const texts = { op: "", domain: "", overload: "", name: "" };
  const inputs: (string | undefined)[] = [];
  const outputs: (string | undefined)[] = [];
  const attributes: Field[] = [];
  const metadata: Field[] = [];
  const unknown: Field[] = [];
  let doc: string | undefined;
  for (const field of await file.fieldsInside(message)) {
    if (field.number === nodeFields.attribute) {
      attributes.push(field);
      continue;
    }
    // `await` costs more than reading a field in memory.
    const loaded = isLoaded(field) ? field : await file.load(field);
    switch (field.number) {
      case nodeFields.input:
        inputs.push(fieldText(loaded) || undefined);
        break;
      case nodeFields.output:
        outputs.push(fieldText(loaded) || undefined);
        break;
      case nodeFields.doc:
        doc = fieldText(loaded);
        break;
      case nodeFields.metadata:
        metadata.push(loaded);
        break;
      default: {
        const text = nodeTexts.find((name) => nodeFields[name] === field.number);
        if (text !== undefined) texts[text] = text === "domain" ? defaultDomain(fieldText(loaded)) : fieldText(loaded);
        // Stated defaults, such as the default domain, are carried as unknown fields.
        if (text === undefined || texts[text] === "") unknown.push(loaded);
      }
    }
  }
  file.count(1 + outputs.length + attributes.length + metadata.length);
  if (texts.op === "") throw modelError(`the node "${texts.name}" at byte ${message.from} has no operator type.`);
  return { ...texts, inputs, outputs, attributes, metadata, doc, unknown: joinCarried(unknown), from: message.from };
}

/** Adds a node with attributes and subgraphs. The values that it uses must exist. */
async function addNode(reading: Reading, parsedNode: ParsedNode, graph: Graph, depth: number): Promise<void> {
  const place = `${parsedNode.op} "${parsedNode.name || (parsedNode.outputs.find((name) => name !== undefined) ?? "")}"`;
  const inputs = parsedNode.inputs.map((name) => {
    if (name === undefined) return undefined;
    const value = graph.value(name);
    if (value === undefined) throw modelError(`${place}: nothing produces its input "${name}".`);
    return value;
  });
  const { op, domain, overload, name, outputs } = parsedNode;
  const node = graph.addNode({ op, domain, overload, name, inputs, outputs });
  node.doc = parsedNode.doc;
  node.unknown = parsedNode.unknown;
  [node.metadata] = readMetadata(parsedNode.metadata);
  for (const field of parsedNode.attributes) {
    const [key, attribute] = await readAttribute(reading, field, node, depth, place);
    if (node.attributes.has(key)) throw modelError(`${place}: its attribute "${key}" is given twice.`);
    graph.setAttribute(node, key, attribute);
  }
}
