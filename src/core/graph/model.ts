/** A model: a graph with its functions and the header of its file. */
import { copyGraph } from "./copy.ts";
import type { LocalFunction } from "./functions.ts";
import { Graph } from "./graph.ts";

export interface ModelHeader {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  domain: string;
  modelVersion: number | bigint;
  doc: string;
  /** Opset version by domain; "" is the default domain, ai.onnx. */
  readonly opsets: Map<string, number>;
  readonly metadata: Map<string, string>;
  /** The local functions, as FunctionProto messages in wire format. */
  functions: readonly Uint8Array[];
  /** Other protobuf fields, in wire format. */
  unknown: Uint8Array | undefined;
}

export class Model {
  readonly graph: Graph;
  readonly header: ModelHeader;
  /** The parsed functions of `header`. Both must be changed together. */
  functions: readonly LocalFunction[] = [];
  /** The path or URL from which the model was opened. */
  place: string | undefined;

  constructor(graph: Graph = new Graph(), header: Partial<ModelHeader> = {}) {
    this.graph = graph;
    this.header = {
      irVersion: 10,
      producerName: "pith",
      producerVersion: "",
      domain: "",
      modelVersion: 0,
      doc: "",
      opsets: new Map([["", 21]]),
      metadata: new Map(),
      functions: [],
      unknown: undefined,
      ...header,
    };
    const { opsets } = this.header;
    const aliasVersion = opsets.get("ai.onnx");
    if (aliasVersion !== undefined && opsets.delete("ai.onnx")) opsets.set("", aliasVersion);
  }

  get opsets(): ReadonlyMap<string, number> {
    return this.header.opsets;
  }

  withGraph(graph: Graph): Model {
    const header = { ...this.header, opsets: new Map(this.header.opsets), metadata: new Map(this.header.metadata) };
    const model = new Model(graph, header);
    model.functions = this.functions;
    model.place = this.place;
    return model;
  }

  /** Returns an independent copy that shares every tensor. */
  clone(): Model {
    return this.withGraph(copyGraph(this.graph));
  }
}
