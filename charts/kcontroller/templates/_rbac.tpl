{{- define "kcontroller.subjects" -}}
- kind: ServiceAccount
  name: {{ include "kcontroller.serviceAccountName" . }}
  namespace: {{ include "kcontroller.namespace" . }}
{{- end }}

{{- /* Events on the Lease, where the rules for controllers do not reach; with a kubeconfig there are none. */ -}}
{{- define "kcontroller.leaseEvents" -}}
{{- $reached := or (empty .Values.scope.namespaces) (has (include "kcontroller.leaseNamespace" .) .Values.scope.namespaces) }}
{{- if and .Values.rbac.events (not .Values.kubeconfig.secretName) (not $reached) }}
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
{{- end }}

{{- /* What controllers may do in namespaces. With a kubeconfig they are somebody else, who has rights of his own. */ -}}
{{- define "kcontroller.rules" -}}
{{- with .Values.rbac.rules }}
{{ toYaml . }}
{{- end }}
{{- if and .Values.rbac.events (not .Values.kubeconfig.secretName) }}
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- end }}
