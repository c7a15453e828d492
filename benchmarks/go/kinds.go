package main

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kind is how the objects of a kind are made and looked at, in one form.
type kind struct {
	new     func() client.Object
	size    func(client.Object) int64
	marked  func(client.Object) int64
	setMark func(client.Object, int64)
}

func (w *work) kind() kind {
	switch w.Kind + " " + w.Form {
	case "pods typed":
		return kind{
			func() client.Object { return &corev1.Pod{} },
			func(o client.Object) int64 { return int64(len(o.(*corev1.Pod).Spec.Containers)) },
			func(o client.Object) int64 { return number(o.(*corev1.Pod).Status.Message) },
			func(o client.Object, mark int64) { o.(*corev1.Pod).Status.Message = strconv.FormatInt(mark, 10) },
		}
	case "pods unstructured":
		return kind{newUnstructured(corev1.SchemeGroupVersion.WithKind("Pod")), countContainers, podMark, setPodMark}
	case "widgets unstructured":
		return kind{newUnstructured(widgets.WithKind("Widget")), countReplicas, widgetMark, setWidgetMark}
	}
	return kind{
		func() client.Object { return &Widget{} },
		func(o client.Object) int64 { return o.(*Widget).Spec.Replicas },
		func(o client.Object) int64 { return o.(*Widget).Status.ReadyReplicas },
		func(o client.Object, mark int64) {
			widget := o.(*Widget)
			widget.Status.ObservedGeneration = widget.Generation
			widget.Status.ReadyReplicas = mark
			meta.SetStatusCondition(&widget.Status.Conditions, metav1.Condition{
				Type: "Ready", Status: metav1.ConditionTrue, Reason: "Reconciled",
			})
		},
	}
}

func (w *work) otherKind() kind {
	if w.Form == "unstructured" {
		return kind{new: newUnstructured(widgets.WithKind("Gadget"))}
	}
	return kind{new: func() client.Object { return &Gadget{} }}
}

func newUnstructured(gvk schema.GroupVersionKind) func() client.Object {
	return func() client.Object {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk)
		return object
	}
}

func content(o client.Object) map[string]any { return o.(*unstructured.Unstructured).Object }

func number(text string) int64 {
	value, _ := strconv.ParseInt(text, 10, 64)
	return value
}

func countReplicas(o client.Object) int64 {
	replicas, _, _ := unstructured.NestedInt64(content(o), "spec", "replicas")
	return replicas
}

func widgetMark(o client.Object) int64 {
	mark, _, _ := unstructured.NestedInt64(content(o), "status", "readyReplicas")
	return mark
}

func setWidgetMark(o client.Object, mark int64) {
	status, _, _ := unstructured.NestedMap(content(o), "status")
	if status == nil {
		status = map[string]any{}
	}
	status["observedGeneration"], status["readyReplicas"] = o.GetGeneration(), mark
	if status["conditions"] == nil {
		status["conditions"] = []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "Reconciled", "message": "",
			"lastTransitionTime": metav1.Now().UTC().Format("2006-01-02T15:04:05Z"),
		}}
	}
	content(o)["status"] = status
}

func countContainers(o client.Object) int64 {
	containers, _, _ := unstructured.NestedSlice(content(o), "spec", "containers")
	return int64(len(containers))
}

func podMark(o client.Object) int64 {
	message, _, _ := unstructured.NestedString(content(o), "status", "message")
	return number(message)
}

func setPodMark(o client.Object, mark int64) {
	if err := unstructured.SetNestedField(content(o), strconv.FormatInt(mark, 10), "status", "message"); err != nil {
		panic(err)
	}
}
