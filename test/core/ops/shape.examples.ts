import { type Example, table } from "./define.examples.ts";

export const shapeExamples: readonly Example[] = table()`
  Shape of a batch | (x: float32[batch, 3, 4]) y = Shape(x)
  Shape of a range of axes | (x: float32[batch, 3, 4]) y = Shape(x) {start=-2, end=3}
  Shape beyond the rank | (x: float32[batch, 3]) y = Shape(x) {start=-5, end=10}
  Shape of a backward range | (x: float32[batch, 3]) y = Shape(x) {start=2, end=1}
  Shape of a scalar | (x: float32[]) y = Shape(x)
  Size of a batch | (x: float32[batch, 3, 4]) y = Size(x)
  Size of a scalar | (x: float32[]) y = Size(x)
  Size of nothing | (x: float32[0, 3]) y = Size(x)
  Constant of a tensor | () y = Constant() {value=int64[2] [3, -1]}
  Constant of a float | () y = Constant() {value_float=0.5}
  Constant of integers | () y = Constant() {value_ints=[1, 2, 3]}
  Constant of an integer | () y = Constant() {value_int=7}
  Constant of floats | () y = Constant() {value_floats=[1.5, 2.5]}
  Constant of a string | () y = Constant() {value_string="a"}
  Constant of strings | () y = Constant() {value_strings=["a", "b c"]}
  ConstantOfShape with its default | () s: int64[2] = [2, 3]; y = ConstantOfShape(s)
  ConstantOfShape of integers | () s: int64[1] = [3]; y = ConstantOfShape(s) {value=int64[1] [5]}
  ConstantOfShape of a scalar | () s: int64[0] = []; y = ConstantOfShape(s)
  ConstantOfShape of a shape computed at run time |
    (s: int64[2]) y = ConstantOfShape(s) | feeds s: 2, 3 | no axes: computed at run time | except types: the shape is not known before the run
  Cast to integers | (x: float32[batch, 3]) y = Cast(x) {to=7} | feeds x: from -5 to 5
  Cast to double | (x: float32[batch, 3]) y = Cast(x) {to=11}
  Cast to bool | (x: float32[4]) y = Cast(x) {to=9} | feeds x: 0, 1, -1, 0.2
  Cast of a stored shape | () s: int64[2] = [3, 4]; y = Cast(s) {to=6}
  Cast of a stored number to float | () s: int64[2] = [3, 4]; y = Cast(s) {to=1}
  Cast of a stored number beyond its new type | () s: int64[1] = [4294967299]; y = Cast(s) {to=6}
  Cast of a stored shape to half precision | () s: int64[1] = [2049]; y = Cast(s) {to=10}
  Cast of a stored number to float, rounded | () s: int64[1] = [16777217]; y = Cast(s) {to=1}
  CastLike of another | (x: float32[batch, 3], like: float64[]) y = CastLike(x, like)
  CastLike to integers | (x: float32[batch, 3], like: int32[]) y = CastLike(x, like) | feeds x: from -5 to 5
  CastLike of opset 15 | opset 15 (x: float32[], like: float32[0]) y = CastLike(x, like)
`;
