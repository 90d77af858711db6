/** Field numbers of ONNX messages from onnx.proto (IR version 13). */

export const modelFields = {
  irVersion: 1,
  producerName: 2,
  producerVersion: 3,
  domain: 4,
  modelVersion: 5,
  doc: 6,
  graph: 7,
  opsetImport: 8,
  metadata: 14,
  trainingInfo: 20,
  functions: 25,
  configuration: 26,
} as const;

export const opsetFields = { domain: 1, version: 2 } as const;

export const graphFields = {
  node: 1,
  name: 2,
  initializer: 5,
  doc: 10,
  input: 11,
  output: 12,
  valueInfo: 13,
  quantizationAnnotation: 14,
  sparseInitializer: 15,
  metadata: 16,
} as const;

export const functionFields = {
  name: 1,
  input: 4,
  output: 5,
  attribute: 6,
  node: 7,
  doc: 8,
  opsetImport: 9,
  domain: 10,
  defaults: 11,
  valueInfo: 12,
  overload: 13,
  metadata: 14,
} as const;

export const nodeFields = {
  input: 1,
  output: 2,
  name: 3,
  op: 4,
  attribute: 5,
  doc: 6,
  domain: 7,
  overload: 8,
  metadata: 9,
  deviceConfigurations: 10,
} as const;

export const attributeFields = {
  name: 1,
  float: 2,
  int: 3,
  string: 4,
  tensor: 5,
  graph: 6,
  floats: 7,
  ints: 8,
  strings: 9,
  tensors: 10,
  graphs: 11,
  doc: 13,
  valueType: 14,
  valueTypes: 15,
  type: 20,
  reference: 21,
  sparseTensor: 22,
  sparseTensors: 23,
} as const;

export const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
  tensors: 9,
  graphs: 10,
} as const;

export const valueInfoFields = { name: 1, type: 2, doc: 3, metadata: 4 } as const;

/** `value-info.ts` has the fields of types other than tensors. */
export const typeFields = { tensor: 1, denotation: 6 } as const;

export const tensorTypeFields = { elementType: 1, shape: 2 } as const;

export const shapeFields = { dim: 1 } as const;

export const dimFields = { value: 1, parameter: 2, denotation: 3 } as const;

export const tensorFields = {
  dims: 1,
  type: 2,
  segment: 3,
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  doc: 12,
  externalData: 13,
  location: 14,
  metadata: 16,
} as const;

export const sparseFields = { values: 1, indices: 2, dims: 3 } as const;

export const entryFields = { key: 1, value: 2 } as const;
