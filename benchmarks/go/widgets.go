package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var widgets = schema.GroupVersion{Group: "bench.example.com", Version: "v1"}

// EnvVar is one variable of a Widget.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// WidgetSpec is what is wanted.
type WidgetSpec struct {
	Replicas int64             `json:"replicas"`
	Image    string            `json:"image"`
	Args     []string          `json:"args,omitempty"`
	Env      []EnvVar          `json:"env,omitempty"`
	Selector map[string]string `json:"selector,omitempty"`
	Paused   bool              `json:"paused,omitempty"`
}

// WidgetStatus is what is true.
type WidgetStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	ReadyReplicas      int64              `json:"readyReplicas,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// Widget is the kind that widgets.py defines.
type Widget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   WidgetSpec   `json:"spec,omitempty"`
	Status WidgetStatus `json:"status,omitempty"`
}

// WidgetList is a list of them.
type WidgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Widget `json:"items"`
}

// Gadget is another kind of the same form, whose sync other work goes on beside.
type Gadget struct {
	Widget `json:",inline"`
}

// GadgetList is a list of them.
type GadgetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Gadget `json:"items"`
}

func addWidgets(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(widgets, &Widget{}, &WidgetList{}, &Gadget{}, &GadgetList{})
	metav1.AddToGroupVersion(scheme, widgets)
}

// What follows is what controller-gen would write.

func (in *Widget) DeepCopyInto(out *Widget) {
	*out = *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	in.Spec.deepCopyInto(&out.Spec)
	if in.Status.Conditions != nil {
		out.Status.Conditions = make([]metav1.Condition, len(in.Status.Conditions))
		for i := range in.Status.Conditions {
			in.Status.Conditions[i].DeepCopyInto(&out.Status.Conditions[i])
		}
	}
}

func (in *WidgetSpec) deepCopyInto(out *WidgetSpec) {
	*out = *in
	if in.Args != nil {
		out.Args = append(make([]string, 0, len(in.Args)), in.Args...)
	}
	if in.Env != nil {
		out.Env = append(make([]EnvVar, 0, len(in.Env)), in.Env...)
	}
	if in.Selector != nil {
		out.Selector = make(map[string]string, len(in.Selector))
		for key, value := range in.Selector {
			out.Selector[key] = value
		}
	}
}

func (in *Widget) DeepCopyObject() runtime.Object {
	out := &Widget{}
	in.DeepCopyInto(out)
	return out
}

func (in *WidgetList) DeepCopyObject() runtime.Object {
	out := &WidgetList{TypeMeta: in.TypeMeta}
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]Widget, len(in.Items))
	for i := range in.Items {
		in.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

func (in *Gadget) DeepCopyObject() runtime.Object {
	out := &Gadget{}
	in.Widget.DeepCopyInto(&out.Widget)
	return out
}

func (in *GadgetList) DeepCopyObject() runtime.Object {
	out := &GadgetList{TypeMeta: in.TypeMeta}
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	out.Items = make([]Gadget, len(in.Items))
	for i := range in.Items {
		in.Items[i].Widget.DeepCopyInto(&out.Items[i].Widget)
	}
	return out
}
