import { expect, test } from "vitest";
import { plainMessage } from "./runtime-messages.ts";

const source = "/onnxruntime_src/onnxruntime/core";

test.each([
  [
    `Non-zero status code returned while running Reshape node. Name:'' Status Message: ${source}/providers/cpu/tensor/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped to the requested shape. Input shape:{2}, requested shape:{3}\n`,
    "Reshape: The input tensor cannot be reshaped to the requested shape. Input shape:{2}, requested shape:{3}",
  ],
  [
    `${source}/graph/model_load_utils.h:46 void onnxruntime::model_load_utils::ValidateOpsetForDomain(const std::unordered_map<std::__cxx11::basic_string<char>, int>&, const onnxruntime::logging::Logger&, bool, const std::string&, int) ONNX Runtime only *guarantees* support for models stamped with official released onnx opset versions. Opset 99 is under development and support for this is limited. The operator schemas and or other functionality may change before next ONNX release and in this case ONNX Runtime will not guarantee backward compatibility. Current official support for domain ai.onnx is till opset 26.`,
    "it knows operator sets up to 26 of ai.onnx, and this one is 99",
  ],
  [
    "Non-zero status code returned while running MatMul node. Name:'mm' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch",
    'MatMul "mm": MatMul dimension mismatch',
  ],
  [
    "Node (mm) Op (MatMul) [ShapeInferenceError] Incompatible dimensions for matrix multiplication",
    'MatMul "mm": Incompatible dimensions for matrix multiplication',
  ],
  [
    "Node () Op (Conv) [ShapeInferenceError] Input tensor must have at least 3 dimensions",
    "Conv: Input tensor must have at least 3 dimensions",
  ],
  [
    'This is an invalid model. In Node, ("", Frobnicate, "", -1) : ("x": tensor(float),) -> ("y": tensor(float),) , Error No Op registered for Frobnicate with domain_version of 21',
    "No Op registered for Frobnicate with domain_version of 21",
  ],
  [
    "This is an invalid model. Type Error: Type 'tensor(int8)' of input parameter (x) of operator (Conv) in node () is invalid.",
    "Type 'tensor(int8)' of input parameter (x) of operator (Conv) in node () is invalid",
  ],
  [
    "Fatal error: com.microsoft:NoSuch(-1) is not a registered function/op",
    "com.microsoft:NoSuch(-1) is not a registered function/op",
  ],
  [
    "Could not find an implementation for Conv(11) node with name ''",
    "Could not find an implementation for Conv(11) node with name ''",
  ],
])("plainMessage shortens: %s", (raw, plain) => {
  expect(plainMessage(raw)).toBe(plain);
});

test("plainMessage ends a long message after a sentence", () => {
  const message = plainMessage(`${"It is wrong. ".repeat(40)}`);
  expect(message.length).toBeLessThan(301);
  expect(message).toMatch(/It is wrong$/);
});
