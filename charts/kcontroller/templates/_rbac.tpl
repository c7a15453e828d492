{{- define "kcontroller.subjects" -}}
- kind: ServiceAccount
  name: {{ include "kcontroller.serviceAccountName" . }}
  namespace: {{ include "kcontroller.namespace" . }}
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
