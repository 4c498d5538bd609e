"""The builtin function of a compiled program, as LLVM text in `driver_ir`'s notation.

It checks the arguments against the program's rows (anything unexpected is a miss, which Python
handles), takes their data pointers, makes the result arrays, runs the steps and packs the results.
"""

from __future__ import annotations

__all__ = ["CALL", "CALL_SYMBOLS"]

#: What the text needs of Python's C interface.
CALL_SYMBOLS = [
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "Py_IncRef",
    "PyErr_NoMemory",
    "PyErr_Occurred",
    "PyErr_CheckSignals",
    "PyErr_Clear",
    "PyList_New",
    "PyList_SetItem",
    "PyTuple_New",
    "PyTuple_SetItem",
    "PyLong_AsLongLongAndOverflow",
]

CALL = """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare ptr @PyErr_NoMemory()
declare ptr @PyErr_Occurred()
declare i32 @PyErr_CheckSignals()
declare void @PyErr_Clear()
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
@ft_none = external global i8

@ft_format_error = internal constant [10 x i8] c"LLLLLLLLL\\00"

; Whether an array has the dtype, shape and flags that a row asks for.
define internal i1 @ft_fits(ptr %row, ptr %arg, i32 %wanted) alwaysinline {
entry:
  %descr = ld ptr %arg + $ARRAY_DESCR
  %want_descr = ld ptr %row + $IN_DESCR
  %same_descr = icmp eq ptr %descr, %want_descr
  br i1 %same_descr, label %layout, label %dtype
dtype:
  ; An unpickled array has a dtype object of its own.
  %number = ld i32 %descr + $DESCR_TYPE_NUMBER
  %number64 = sext i32 %number to i64
  %want_number = ld i64 %row + $IN_TYPE_NUMBER
  %same_number = icmp eq i64 %number64, %want_number
  %order = ld i8 %descr + $DESCR_BYTE_ORDER
  %native = icmp ne i8 %order, $SWAPPED
  %same_dtype = and i1 %same_number, %native
  br i1 %same_dtype, label %layout, label %no
layout:
  %nd = ld i32 %arg + $ARRAY_NDIM
  %nd64 = sext i32 %nd to i64
  %want_nd = ld i64 %row + $IN_NDIM
  %same_nd = icmp eq i64 %nd64, %want_nd
  %flags = ld i32 %arg + $ARRAY_FLAGS
  %masked = and i32 %flags, %wanted
  %usable = icmp eq i32 %masked, %wanted
  %ok = and i1 %same_nd, %usable
  br i1 %ok, label %shape, label %no
shape:
  %dims = ld ptr %arg + $ARRAY_DIMS
  %want_dims = ld ptr %row + $IN_DIMS
  %has_dims = icmp sgt i64 %want_nd, 0
  br i1 %has_dims, label %dim, label %yes
dim:
  %j = phi i64 [0, %shape], [%j1, %dim_next]
  %dp = getelementptr i64, ptr %dims, i64 %j
  %d = load i64, ptr %dp
  %wp = getelementptr i64, ptr %want_dims, i64 %j
  %w = load i64, ptr %wp
  %same_dim = icmp eq i64 %d, %w
  br i1 %same_dim, label %dim_next, label %no
dim_next:
  %j1 = add i64 %j, 1
  %more_dims = icmp slt i64 %j1, %want_nd
  br i1 %more_dims, label %dim, label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

; Recognise the arguments and put their data pointers into the frame; false is a miss.
define internal i1 @ft_take(ptr %p, ptr %args, ptr %block) {
entry:
  %over = alloca i32
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %n = ld i64 %p + $INPUTS
  %rows = ld ptr %p + $INPUT_ROWS
  %array_type = ld ptr %p + $ARRAY_TYPE
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %yes
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %row = getelementptr [$ROW_WORDS x i64], ptr %rows, i64 %k
  %argp = getelementptr ptr, ptr %args, i64 %k
  %arg = load ptr, ptr %argp
  %slot = ld i64 %row + $IN_SLOT
  %place = getelementptr ptr, ptr %frame, i64 %slot
  %type = ld ptr %arg + 8
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %array, label %other
array:
  %fits_row = call i1 @ft_fits(ptr %row, ptr %arg, i32 0)
  br i1 %fits_row, label %layout, label %no
layout:
  %flags = ld i32 %arg + $ARRAY_FLAGS
  %masked = and i32 %flags, $READABLE
  %usable = icmp eq i32 %masked, $READABLE
  br i1 %usable, label %data_of, label %copy
copy:
  ; Transposed, strided or misaligned: the call reads a copy, which lives until the block goes back.
  %new_copy = ld ptr %p + $NEW_COPY
  %copied = call ptr %new_copy(ptr %arg, i32 0)
  %no_copy = icmp eq ptr %copied, null
  br i1 %no_copy, label %forget, label %hold
forget:
  call void @PyErr_Clear()
  br label %no
hold:
  %held = ld i64 %block + $HELD
  %held_at = ld i64 %p + $HELD_OBJECTS
  %held_rows = getelementptr i8, ptr %block, i64 %held_at
  %held_p = getelementptr ptr, ptr %held_rows, i64 %held
  store ptr %copied, ptr %held_p
  %held1 = add i64 %held, 1
  st i64 %held1 -> %block + $HELD
  br label %data_of
data_of:
  %source = phi ptr [%arg, %layout], [%copied, %hold]
  %data = ld ptr %source + $ARRAY_DATA
  store ptr %data, ptr %place
  br label %next
other:
  %conversion = ld i64 %row + $IN_CONVERSION
  %cell_at = ld i64 %row + $IN_CELL
  %cell = getelementptr i8, ptr %block, i64 %cell_at
  %scalar_type = ld ptr %row + $IN_SCALAR_TYPE
  %is_scalar = icmp eq ptr %type, %scalar_type
  br i1 %is_scalar, label %scalar, label %maybe_bool
scalar:
  %is_int = icmp eq i64 %conversion, 1
  br i1 %is_int, label %integer, label %inside
inside:
  %value = getelementptr i8, ptr %arg, i64 $SCALAR_VALUE
  store ptr %value, ptr %place
  br label %next
integer:
  %long = call i64 @PyLong_AsLongLongAndOverflow(ptr %arg, ptr %over)
  %overflow = load i32, ptr %over
  %fits = icmp eq i32 %overflow, 0
  store i64 %long, ptr %cell
  store ptr %cell, ptr %place
  br i1 %fits, label %next, label %no
maybe_bool:
  %true = ld ptr %p + $TRUE
  %false = ld ptr %p + $FALSE
  %is_true = icmp eq ptr %arg, %true
  %is_false = icmp eq ptr %arg, %false
  %either = or i1 %is_true, %is_false
  %wants = icmp eq i64 %conversion, 2
  %is_bool = and i1 %either, %wants
  %truth = zext i1 %is_true to i8
  br i1 %is_bool, label %boolean, label %no
boolean:
  store i8 %truth, ptr %cell
  store ptr %cell, ptr %place
  br label %next
next:
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %n
  br i1 %more, label %loop, label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

; Make the result arrays (0-d results live in the block until the end); false is an exception.
define internal i1 @ft_make(ptr %p, ptr %block) {
entry:
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %n = ld i64 %p + $OUTPUTS
  %rows = ld ptr %p + $OUTPUT_ROWS
  %array_type = ld ptr %p + $ARRAY_TYPE
  %new_array = ld ptr %p + $NEW_ARRAY
  %set_handler = ld ptr %p + $SET_HANDLER
  %handler = ld ptr %p + $HANDLER
  %can_set = icmp ne ptr %handler, null
  %objects_at = ld i64 %p + $OUTPUT_OBJECTS
  %objects = getelementptr i8, ptr %block, i64 %objects_at
  %bytes = shl i64 %n, 3
  call void @llvm.memset.p0.i64(ptr %objects, i8 0, i64 %bytes, i1 false)
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %yes
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %row = getelementptr [$ROW_WORDS x i64], ptr %rows, i64 %k
  %nd = ld i64 %row + $OUT_NDIM
  %is_scalar = icmp eq i64 %nd, 0
  br i1 %is_scalar, label %next, label %make
make:
  %descr = ld ptr %row + $OUT_DESCR
  %dims = ld ptr %row + $OUT_DIMS
  %nd32 = trunc i64 %nd to i32
  %result_bytes = ld i64 %row + $OUT_BYTES
  %large = icmp uge i64 %result_bytes, $LARGE
  %special = and i1 %large, %can_set
  call void @Py_IncRef(ptr %descr)
  br i1 %special, label %make_large, label %make_small
make_small:
  %array1 = call ptr %new_array(ptr %array_type, ptr %descr, i32 %nd32, ptr %dims,
      ptr null, ptr null, i32 0, ptr null)
  br label %made
make_large:
  %usual = call ptr %set_handler(ptr %handler)
  %array2 = call ptr %new_array(ptr %array_type, ptr %descr, i32 %nd32, ptr %dims,
      ptr null, ptr null, i32 0, ptr null)
  %ours = call ptr %set_handler(ptr %usual)
  call void @Py_DecRef(ptr %ours)
  call void @Py_DecRef(ptr %usual)
  br label %made
made:
  %array = phi ptr [%array1, %make_small], [%array2, %make_large]
  %failed = icmp eq ptr %array, null
  br i1 %failed, label %no, label %keep
keep:
  %object = getelementptr ptr, ptr %objects, i64 %k
  store ptr %array, ptr %object
  %source = ld i64 %row + $OUT_SOURCE
  %copied = icmp sge i64 %source, 0
  br i1 %copied, label %next, label %direct
direct:
  %slot = ld i64 %row + $OUT_SLOT
  %place = getelementptr ptr, ptr %frame, i64 %slot
  %data = ld ptr %array + $ARRAY_DATA
  store ptr %data, ptr %place
  br label %next
next:
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %n
  br i1 %more, label %loop, label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

; After the run: turn cells into NumPy scalars and copy results that are another slot's value.
define internal i1 @ft_finish(ptr %p, ptr %block) {
entry:
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %n = ld i64 %p + $OUTPUTS
  %rows = ld ptr %p + $OUTPUT_ROWS
  %new_scalar = ld ptr %p + $NEW_SCALAR
  %objects_at = ld i64 %p + $OUTPUT_OBJECTS
  %objects = getelementptr i8, ptr %block, i64 %objects_at
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %yes
loop:
  %k = phi i64 [0, %entry], [%k1, %next]
  %row = getelementptr [$ROW_WORDS x i64], ptr %rows, i64 %k
  %object = getelementptr ptr, ptr %objects, i64 %k
  %nd = ld i64 %row + $OUT_NDIM
  %source = ld i64 %row + $OUT_SOURCE
  %copied = icmp sge i64 %source, 0
  %slot = ld i64 %row + $OUT_SLOT
  %from = select i1 %copied, i64 %source, i64 %slot
  %place = getelementptr ptr, ptr %frame, i64 %from
  %is_scalar = icmp eq i64 %nd, 0
  br i1 %is_scalar, label %scalar, label %array
scalar:
  %value = load ptr, ptr %place
  %descr = ld ptr %row + $OUT_DESCR
  %made = call ptr %new_scalar(ptr %value, ptr %descr, ptr null)
  store ptr %made, ptr %object
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %no, label %next
array:
  br i1 %copied, label %copy, label %next
copy:
  %origin = load ptr, ptr %place
  %mine = load ptr, ptr %object
  %data = ld ptr %mine + $ARRAY_DATA
  %bytes = ld i64 %row + $OUT_BYTES
  call void @llvm.memcpy.p0.p0.i64(ptr %data, ptr %origin, i64 %bytes, i1 false)
  br label %next
next:
  %k1 = add i64 %k, 1
  %more = icmp slt i64 %k1, %n
  br i1 %more, label %loop, label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

define internal void @ft_drop(ptr %p, ptr %block) {
entry:
  %n = ld i64 %p + $OUTPUTS
  %objects_at = ld i64 %p + $OUTPUT_OBJECTS
  %objects = getelementptr i8, ptr %block, i64 %objects_at
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k1, %loop_next]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %body, label %done
body:
  %object = getelementptr ptr, ptr %objects, i64 %k
  %o = load ptr, ptr %object
  %none = icmp eq ptr %o, null
  br i1 %none, label %loop_next, label %dec
dec:
  call void @Py_DecRef(ptr %o)
  br label %loop_next
loop_next:
  %k1 = add i64 %k, 1
  br label %loop
done:
  ret void
}

; Hand the results over as a list (0), a tuple (1) or the only one itself (2).
define internal ptr @ft_pack(ptr %p, ptr %block) {
entry:
  %n = ld i64 %p + $OUTPUTS
  %kind = ld i64 %p + $RESULT
  %objects_at = ld i64 %p + $OUTPUT_OBJECTS
  %objects = getelementptr i8, ptr %block, i64 %objects_at
  switch i64 %kind, label %single [ i64 0, label %list i64 1, label %tuple ]
single:
  %only = load ptr, ptr %objects
  ret ptr %only
list:
  %new_list = call ptr @PyList_New(i64 %n)
  br label %made
tuple:
  %new_tuple = call ptr @PyTuple_New(i64 %n)
  br label %made
made:
  %result = phi ptr [%new_list, %list], [%new_tuple, %tuple]
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %fail, label %loop
fail:
  call void @ft_drop(ptr %p, ptr %block)
  ret ptr null
loop:
  %k = phi i64 [0, %made], [%k1, %next]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %body, label %done
body:
  %object = getelementptr ptr, ptr %objects, i64 %k
  %o = load ptr, ptr %object
  %is_list = icmp eq i64 %kind, 0
  br i1 %is_list, label %set_list, label %set_tuple
set_list:
  %r1 = call i32 @PyList_SetItem(ptr %result, i64 %k, ptr %o)
  br label %next
set_tuple:
  %r2 = call i32 @PyTuple_SetItem(ptr %result, i64 %k, ptr %o)
  br label %next
next:
  %k1 = add i64 %k, 1
  br label %loop
done:
  ret ptr %result
}

; Let Python raise the exception that a status stands for: item 1 of self builds it.
define internal void @ft_raise(ptr %self, ptr %block, i64 %status) {
entry:
  %cell = getelementptr i8, ptr %block, i64 $CELL
  %where = ld i64 %cell + $CELL_STEP
  st i64 0 -> %cell + $CELL_STEP
  %already = call ptr @PyErr_Occurred()
  %unset = icmp eq ptr %already, null
  br i1 %unset, label %signals, label %done
signals:
  ; An interrupt raises what Python's own handler raises.
  %signalled = call i32 @PyErr_CheckSignals()
  %raised = icmp ne i32 %signalled, 0
  br i1 %raised, label %done, label %ask
ask:
  %raiser = ld ptr %self + $TUPLE_ITEM_1
  %c0 = ld i64 %cell + 0
  %c1 = ld i64 %cell + 8
  %c2 = ld i64 %cell + 16
  %c3 = ld i64 %cell + 24
  %c4 = ld i64 %cell + 32
  %c5 = ld i64 %cell + 40
  %c6 = ld i64 %cell + 48
  %r = call ptr (ptr, ptr, ...) @PyObject_CallFunction(
      ptr %raiser, ptr @ft_format_error, i64 %status, i64 %where, i64 %c0, i64 %c1, i64 %c2,
      i64 %c3, i64 %c4, i64 %c5, i64 %c6)
  %odd = icmp ne ptr %r, null
  br i1 %odd, label %drop, label %done
drop:
  call void @Py_DecRef(ptr %r)
  br label %done
done:
  ret void
}

; Run the steps on a call's block, without the GIL if the program says so; 0 or a status.
define internal i64 @ft_go(ptr %p, ptr %block) {
entry:
  %frame = getelementptr i8, ptr %block, i64 $FRAME
  %steps = ld ptr %p + $STEP_ROWS
  %count = ld i64 %p + $STEPS
  %cell = getelementptr i8, ptr %block, i64 $CELL
  %before = call ptr @ft_enter(ptr %cell)
  %release = ld i64 %p + $RELEASE_GIL
  %keep = icmp eq i64 %release, 0
  br i1 %keep, label %run_held, label %run_free
run_held:
  %s1 = call i64 @ft_run_program(ptr %frame, ptr %steps, i64 %count)
  br label %ran
run_free:
  %state = call ptr @PyEval_SaveThread()
  %s2 = call i64 @ft_run_program(ptr %frame, ptr %steps, i64 %count)
  call void @PyEval_RestoreThread(ptr %state)
  br label %ran
ran:
  %s = phi i64 [%s1, %run_held], [%s2, %run_free]
  call void @ft_leave(ptr %before)
  ret i64 %s
}

; The builtin: self is (header, raiser, whatever must live as long as the program).
define ptr @ft_call(ptr %self, ptr %args, i64 %nargs) {
entry:
  %header = ld ptr %self + $TUPLE_ITEM_0
  %p = ld ptr %header + $ARRAY_DATA
  %n = ld i64 %p + $INPUTS
  %same = icmp eq i64 %n, %nargs
  br i1 %same, label %start, label %none
start:
  %block = call ptr @ft_block_take(ptr %p)
  %lacking = icmp eq ptr %block, null
  br i1 %lacking, label %memory, label %take
take:
  %hit = call i1 @ft_take(ptr %p, ptr %args, ptr %block)
  br i1 %hit, label %make, label %miss
make:
  %ready = call i1 @ft_make(ptr %p, ptr %block)
  br i1 %ready, label %go, label %fail
go:
  %s = call i64 @ft_go(ptr %p, ptr %block)
  %good = icmp eq i64 %s, 0
  br i1 %good, label %finish, label %raise
raise:
  call void @ft_raise(ptr %self, ptr %block, i64 %s)
  br label %fail
finish:
  %whole = call i1 @ft_finish(ptr %p, ptr %block)
  br i1 %whole, label %pack, label %fail
pack:
  %result = call ptr @ft_pack(ptr %p, ptr %block)
  call void @ft_block_give(ptr %p, ptr %block)
  ret ptr %result
fail:
  call void @ft_drop(ptr %p, ptr %block)
  call void @ft_block_give(ptr %p, ptr %block)
  ret ptr null
memory:
  %e = call ptr @PyErr_NoMemory()
  ret ptr null
miss:
  call void @ft_block_give(ptr %p, ptr %block)
  br label %none
none:
  call void @Py_IncRef(ptr @ft_none)
  ret ptr @ft_none
}
"""
