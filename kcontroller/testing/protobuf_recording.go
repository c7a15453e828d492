// Writes what the protobuf encoding of Kubernetes says that JSON does not: see protobuf_recording.py, which runs this.
//
// Standard input: the names of the kinds to record ("apps/v1/Deployment") as a JSON list. Standard output: a JSON object
// with `kinds` (name of a kind to its message), `messages` (name to fields) and `samples` (objects in both encodings).
// The Go types are the source: they carry the field numbers and the JSON names side by side in their tags.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// The types whose JSON is not made of their fields.
var special = map[reflect.Type]string{
	reflect.TypeOf(metav1.Time{}):                                "time",
	reflect.TypeOf(metav1.MicroTime{}):                           "microtime",
	reflect.TypeOf(metav1.FieldsV1{}):                            "json",
	reflect.TypeOf(runtime.RawExtension{}):                       "extension",
	reflect.TypeOf(resource.Quantity{}):                          "quantity",
	reflect.TypeOf(intstr.IntOrString{}):                         "int-or-string",
	reflect.TypeOf(apiextensions.JSON{}):                         "json",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrArray{}):       "schema-or-array",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrBool{}):        "schema-or-bool",
	reflect.TypeOf(apiextensions.JSONSchemaPropsOrStringArray{}): "schema-or-strings",
}

var (
	jsonMarshaler = reflect.TypeOf((*json.Marshaler)(nil)).Elem()
	message       = reflect.TypeOf((*interface {
		MarshalTo([]byte) (int, error)
	})(nil)).Elem()
)

type recorder struct{ messages map[string][][]any }

// typeOf gives the flags of a field (p pointer, r repeated, m map) and what it holds.
func (r *recorder) typeOf(t reflect.Type) (string, string) {
	if name, ok := special[t]; ok {
		return "", name
	}
	if t.Kind() == reflect.Pointer {
		flags, name := r.typeOf(t.Elem())
		return "p" + flags, name
	}
	if t.Implements(jsonMarshaler) || reflect.PointerTo(t).Implements(jsonMarshaler) {
		panic(fmt.Sprintf("%s has a JSON of its own that nobody reads yet", t))
	}
	switch t.Kind() {
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			panic(fmt.Sprintf("%s: the keys are not strings", t))
		}
		_, name := r.typeOf(t.Elem())
		return "m", name
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "", "bytes"
		}
		if reflect.PointerTo(t).Implements(message) {
			return "", r.message(t)
		}
		_, name := r.typeOf(t.Elem())
		return "r", name
	case reflect.Struct:
		return "", r.message(t)
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64:
		return "", t.Kind().String()
	default:
		panic(fmt.Sprintf("%s: nobody reads that kind yet", t))
	}
}

func (r *recorder) message(t reflect.Type) string {
	directory, version := path.Split(t.PkgPath())
	name := path.Base(directory) + "." + version + "." + t.Name()
	if _, known := r.messages[name]; known {
		return name
	}
	r.messages[name] = [][]any{} // Before its fields: a JSONSchemaProps holds others.
	fields := [][]any{}
	if t.Kind() == reflect.Slice {
		// A named list is a message of one field, and in JSON a list all the same.
		_, item := r.typeOf(t.Elem())
		r.messages[name] = [][]any{{1, "", "rl", item}}
		return name
	}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		tag := field.Tag.Get("protobuf")
		label, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == "" || tag == "-" || label == "-" {
			if field.Name != "TypeMeta" { // Stands in the envelope.
				panic(fmt.Sprintf("%s.%s is not in both encodings", t, field.Name))
			}
			continue
		}
		number, err := strconv.Atoi(strings.Split(tag, ",")[1])
		if err != nil {
			panic(err)
		}
		flags, held := r.typeOf(field.Type)
		for option, flag := range map[string]string{"omitempty": "o", "omitzero": "z", "inline": "i"} {
			if strings.Contains(options, option) {
				flags += flag
			}
		}
		if strings.Contains(flags, "i") != (label == "") || (strings.Contains(flags, "z") && held != "time") {
			panic(fmt.Sprintf("%s.%s: nobody reads these tags yet", t, field.Name))
		}
		fields = append(fields, []any{number, label, sorted(flags), held})
	}
	r.messages[name] = fields
	return name
}

func sorted(text string) string {
	letters := strings.Split(text, "")
	sort.Strings(letters)
	return strings.Join(letters, "")
}

// The fields that some sample has: all of them, in the end.
var filled = map[string]bool{}

// fill sets the fields that no sample has yet and those that the chance allows; nothing that JSON and protobuf are known
// to lose (empty lists, nanoseconds).
func fill(v reflect.Value, random *rand.Rand, chance float64, depth int) {
	number := int64(random.Intn(300) - 20)
	switch target := v.Addr().Interface().(type) {
	case *metav1.Time:
		*target = metav1.Unix(1_700_000_000+number*1000, 0)
		return
	case *metav1.MicroTime:
		*target = metav1.NewMicroTime(time.Unix(1_700_000_000, number*number*1000))
		return
	case *metav1.FieldsV1:
		target.Raw = []byte(`{"f:spec":{"f:a":{}}}`)
		return
	case *runtime.RawExtension:
		target.Raw = []byte(`{"apiVersion":"a.io/v1","kind":"A","n":12345678901234567}`)
		return
	case *resource.Quantity:
		*target = *resource.NewMilliQuantity(number*500, resource.DecimalSI)
		return
	case *intstr.IntOrString:
		*target = intstr.FromInt32(int32(number))
		if number%2 == 0 {
			*target = intstr.FromString("30%")
		}
		return
	case *apiextensions.JSON:
		target.Raw = []byte(`{"a":[1,2.5,null]}`)
		return
	case *apiextensions.JSONSchemaPropsOrBool:
		target.Allows = number%3 != 1
		if number%3 == 2 {
			target.Schema = &apiextensions.JSONSchemaProps{}
			fill(reflect.ValueOf(target.Schema).Elem(), random, chance, depth+1)
		}
		return
	case *apiextensions.JSONSchemaPropsOrStringArray:
		if number%2 == 0 {
			target.Property = []string{"a", "b"}
			return
		}
		target.Schema = &apiextensions.JSONSchemaProps{}
		fill(reflect.ValueOf(target.Schema).Elem(), random, chance, depth+1)
		return
	case *apiextensions.JSONSchemaPropsOrArray:
		if number%2 == 0 {
			target.JSONSchemas = []apiextensions.JSONSchemaProps{{Type: "a"}, {}}
			return
		}
		target.Schema = &apiextensions.JSONSchemaProps{}
		fill(reflect.ValueOf(target.Schema).Elem(), random, chance, depth+1)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), random, chance, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, 255, byte(number)})
			return
		}
		for range 1 + random.Intn(2) {
			item := reflect.New(v.Type().Elem()).Elem()
			fill(item, random, chance, depth+1)
			v.Set(reflect.Append(v, item))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 1 + random.Intn(2) {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, random, chance, depth+1)
			key := reflect.New(v.Type().Key()).Elem()
			key.SetString(fmt.Sprintf("k%d", i))
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		inner := chance
		if v.Type() == reflect.TypeOf(apiextensions.JSONSchemaProps{}) {
			inner /= float64(depth) // It holds itself in a dozen fields.
		}
		for i := 0; i < v.NumField(); i++ {
			tag := v.Type().Field(i).Tag.Get("protobuf")
			if tag == "" || tag == "-" {
				continue
			}
			name := v.Type().PkgPath() + "." + v.Type().Name() + "." + v.Type().Field(i).Name
			wanted := chance > 0 && (depth == 0 || !filled[name])
			if wanted || random.Float64() < inner || simple(v.Field(i)) && random.Float64() < chance {
				filled[name] = true
				fill(v.Field(i), random, chance, depth+1)
			}
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("é%d", number))
	case reflect.Bool:
		v.SetBool(number%3 != 0)
	case reflect.Int32, reflect.Int64:
		v.SetInt(number)
	case reflect.Float64:
		v.SetFloat(float64(number) / 4)
	}
}

func simple(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Struct, reflect.Pointer, reflect.Slice, reflect.Map:
		return false
	}
	return true
}

type sample struct {
	Protobuf []byte          `json:"protobuf"`
	JSON     json.RawMessage `json:"json"`
}

// encode gives an object as a client sends it, and the JSON of what a Go server reads from that.
func encode(object runtime.Object, serializer *protobuf.Serializer) sample {
	var sent bytes.Buffer
	check(serializer.Encode(object, &sent))
	read, kind, err := serializer.Decode(sent.Bytes(), nil, nil)
	check(err)
	read.GetObjectKind().SetGroupVersionKind(*kind)
	document, err := json.Marshal(read)
	check(err)
	return sample{sent.Bytes(), document}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	known := scheme.Scheme
	check(apiextensions.AddToScheme(known))
	check(apiregistration.AddToScheme(known))
	var wanted []string
	check(json.NewDecoder(os.Stdin).Decode(&wanted))
	serializer := protobuf.NewSerializer(known, known)
	recorded := recorder{map[string][][]any{}}
	kinds, samples := map[string]string{}, map[string][]sample{}
	for _, name := range wanted {
		apiVersion, kind := path.Split(name)
		version, err := schema.ParseGroupVersion(strings.TrimSuffix(apiVersion, "/"))
		check(err)
		gvk := version.WithKind(kind)
		if !known.Recognizes(gvk) {
			fmt.Fprintln(os.Stderr, "no Go type, left out:", name)
			continue
		}
		random := rand.New(rand.NewSource(int64(len(name)*1000 + len(kind))))
		chances := []float64{0, 0.3, 0.6}
		if strings.HasSuffix(kind, "List") {
			chances = []float64{0.2} // Its items are recorded as themselves.
		}
		if kind == "CustomResourceDefinition" {
			chances = append(chances, 0.9, 0.9, 0.9, 0.9) // Its schemas have more shapes than any other kind.
		}
		for _, chance := range chances {
			object, err := known.New(gvk)
			check(err)
			object.GetObjectKind().SetGroupVersionKind(gvk)
			if object.GetObjectKind().GroupVersionKind() != gvk {
				fmt.Fprintln(os.Stderr, "has no envelope, left out:", name)
				break
			}
			kinds[name] = recorded.message(reflect.TypeOf(object).Elem())
			fill(reflect.ValueOf(object).Elem(), random, chance, 0)
			samples[name] = append(samples[name], encode(object, serializer))
		}
	}
	answer := map[string]any{"kinds": kinds, "messages": recorded.messages, "samples": samples}
	check(json.NewEncoder(os.Stdout).Encode(answer))
}
